// dlib's HOG features and its bilinear resize, to the bit, as WebAssembly: see README.md.
//
// Everything lies in the module's memory. Whoever calls says where; nothing is allocated here. Images are planes
// (channels, height, stride) of bytes with 16 spare bytes behind them. WebAssembly knows no fused multiply-add, so each
// product and each sum is rounded as dlib's are on every machine.

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum { CELL = 8, HALF = 4, BINS = 18, ROOM = 20, SPARE = 8 };  // ROOM: floats of a cell, a multiple of four

// --- pictures --------------------------------------------------------------------------------------------------------

// (height, width, 3) -> planes
EXPORT(planes)
void planes(const uint8_t *pixels, int height, int width, int stride, uint8_t *out) {
    uint8_t *r = out, *g = out + height * stride, *b = g + height * stride;
    for (int y = 0; y < height; y++, pixels += 3 * width, r += stride, g += stride, b += stride)
        for (int x = 0; x < width; x++) {
            r[x] = pixels[3 * x];
            g[x] = pixels[3 * x + 1];
            b[x] = pixels[3 * x + 2];
        }
}

// --- resize ----------------------------------------------------------------------------------------------------------

// Where output samples lie between two input samples; from `exact` on dlib computes in double (colour).
typedef struct {
    const int32_t *low;
    const float *low_weight, *high_weight;
    const double *fraction;
    int size, exact;
} Axis;

static inline v128_t lanes(const uint8_t *row, const int32_t *at, int off) {
    return wasm_i32x4_make(row[at[0] + off], row[at[1] + off], row[at[2] + off], row[at[3] + off]);
}

// Four bytes of a row as floats: `mask` picks them out of the 16 from `row` on.
static inline v128_t pick(v128_t bytes, v128_t mask) {
    return wasm_f32x4_convert_i32x4(wasm_i8x16_swizzle(bytes, mask));
}

static void resize_row(const uint8_t *top, const uint8_t *bottom, uint8_t *out, const Axis *x, const v128_t *masks,
                       float down_low, float down_high, float bias) {
    const v128_t one = wasm_i32x4_splat(1), dl = wasm_f32x4_splat(down_low), dh = wasm_f32x4_splat(down_high);
    for (int i = 0; i < x->exact; i += 4) {
        v128_t left = masks[i / 4], xl = wasm_v128_load(x->low_weight + i), xh = wasm_v128_load(x->high_weight + i);
        v128_t tl, tr, bl, br;
        if (x->low[i + 3] - x->low[i] < 15) {
            v128_t right = wasm_i32x4_add(left, one);
            v128_t t = wasm_v128_load(top + x->low[i]), b = wasm_v128_load(bottom + x->low[i]);
            tl = pick(t, left), tr = pick(t, right), bl = pick(b, left), br = pick(b, right);
        } else {
            tl = wasm_f32x4_convert_i32x4(lanes(top, x->low + i, 0));
            tr = wasm_f32x4_convert_i32x4(lanes(top, x->low + i, 1));
            bl = wasm_f32x4_convert_i32x4(lanes(bottom, x->low + i, 0));
            br = wasm_f32x4_convert_i32x4(lanes(bottom, x->low + i, 1));
        }
        v128_t sum = wasm_f32x4_mul(tl, wasm_f32x4_mul(dl, xl));  // the order is dlib's
        sum = wasm_f32x4_add(sum, wasm_f32x4_mul(tr, wasm_f32x4_mul(dl, xh)));
        sum = wasm_f32x4_add(sum, wasm_f32x4_mul(bl, wasm_f32x4_mul(dh, xl)));
        sum = wasm_f32x4_add(sum, wasm_f32x4_mul(br, wasm_f32x4_mul(dh, xh)));
        v128_t whole = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(sum, wasm_f32x4_splat(bias)));
        whole = wasm_i8x16_shuffle(whole, whole, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
        wasm_v128_store32_lane(out + i, whole, 0);
    }
}

// The last columns, that fill no register of four: dlib's plain code, double for colour, half float for grey.
static void resize_tail(const uint8_t *top, const uint8_t *bottom, uint8_t *out, const Axis *x, int width, double down,
                        int grey) {
    for (int i = x->exact; i < x->size; i++) {
        int left = x->low[i], right = left + 1 < width ? left + 1 : width - 1;
        if (grey) {
            float f = (float)x->fraction[i];
            float t = (1 - f) * top[left] + f * top[right], b = (1 - f) * bottom[left] + f * bottom[right];
            out[i] = (uint8_t)(float)((1 - down) * t + down * b);
        } else {
            double f = x->fraction[i];
            double t = (1 - f) * top[left] + f * top[right], b = (1 - f) * bottom[left] + f * bottom[right];
            out[i] = (uint8_t)((1 - down) * t + down * b);
        }
    }
}

// Planes (channels, height, stride) -> (channels, y->size, out_stride). `masks`: room for 4 bytes per output column.
EXPORT(resize)
void resize(const uint8_t *in, int channels, int height, int width, int stride, uint8_t *out, int out_stride,
            const Axis *y, const Axis *x, v128_t *masks) {
    for (int i = 0; i < x->exact; i += 4) {
        const int32_t *low = x->low + i;
        v128_t offsets = wasm_i32x4_sub(wasm_v128_load(low), wasm_i32x4_splat(low[0]));
        masks[i / 4] = wasm_v128_or(offsets, wasm_i32x4_splat((int)0x80808000));  // bytes out of range become zero
    }
    for (int c = 0; c < channels; c++, in += height * stride, out += y->size * out_stride)
        for (int j = 0; j < y->size; j++) {
            int low = y->low[j];
            const uint8_t *top = in + low * stride, *bottom = in + (low + 1 < height ? low + 1 : height - 1) * stride;
            resize_row(top, bottom, out + j * out_stride, x, masks, y->low_weight[j], y->high_weight[j],
                       channels == 1 ? 0.5f : 0.0f);  // grey is rounded, colour cut
            resize_tail(top, bottom, out + j * out_stride, x, width, y->fraction[j], channels == 1);
        }
}

// --- gradients -------------------------------------------------------------------------------------------------------

// Of eight pixels of a channel: (dx, dy) as pairs of 16 bits, and the squared lengths.
typedef struct {
    v128_t pair[2], length[2];
} Gradient;

static inline Gradient gradient(const uint8_t *at, int stride) {
    v128_t dx = wasm_i16x8_sub(wasm_u16x8_load8x8(at + 1), wasm_u16x8_load8x8(at - 1));
    v128_t dy = wasm_i16x8_sub(wasm_u16x8_load8x8(at + stride), wasm_u16x8_load8x8(at - stride));
    Gradient g;
    g.pair[0] = wasm_i16x8_shuffle(dx, dy, 0, 8, 1, 9, 2, 10, 3, 11);
    g.pair[1] = wasm_i16x8_shuffle(dx, dy, 4, 12, 5, 13, 6, 14, 7, 15);
    for (int k = 0; k < 2; k++) g.length[k] = wasm_i32x4_dot_i16x8(g.pair[k], g.pair[k]);
    return g;
}

// The channel with the longest gradient; on a tie the last, but the first where `first` is set.
static inline Gradient longest(const uint8_t *at, int channels, int plane, int stride, v128_t first) {
    Gradient best = gradient(at, stride);
    for (int c = 1; c < channels; c++) {
        Gradient g = gradient(at + c * plane, stride);
        for (int k = 0; k < 2; k++) {
            v128_t more = wasm_i32x4_gt(g.length[k], best.length[k]);
            v128_t even = wasm_v128_andnot(wasm_i32x4_eq(g.length[k], best.length[k]), first);
            v128_t better = wasm_v128_or(more, even);
            best.pair[k] = wasm_v128_bitselect(g.pair[k], best.pair[k], better);
            best.length[k] = wasm_v128_bitselect(g.length[k], best.length[k], better);
        }
    }
    return best;
}

// Lengths and table indices of the pixels 1 to width of a row, eight at a time (more than asked at the end).
static void row_gradients(const uint8_t *row, int channels, int plane, int stride, int width, float *strength,
                          int32_t *index) {
    const v128_t none = wasm_i32x4_splat(0), all = wasm_i32x4_splat(-1);
    const v128_t weights = wasm_i16x8_make(1, 511, 1, 511, 1, 511, 1, 511);
    const v128_t origin = wasm_i32x4_splat(255 * 511 + 255);
    int single = width > 8 ? 1 + (width - 8 + 7) / 8 * 8 : 1;  // dlib's columns that fill no register of eight
    for (int x = 1; x < width; x += 8) {
        Gradient g = longest(row + x, channels, plane, stride, x < single ? none : all);
        for (int k = 0; k < 2; k++) {
            wasm_v128_store(strength + x + 4 * k, wasm_f32x4_sqrt(wasm_f32x4_convert_i32x4(g.length[k])));
            wasm_v128_store(index + x + 4 * k, wasm_i32x4_add(wasm_i32x4_dot_i16x8(g.pair[k], weights), origin));
        }
    }
}

// --- votes -----------------------------------------------------------------------------------------------------------

static int vote_bytes(int stride, int columns) { return (stride + SPARE) * 8 + (columns + 1) * ROOM * 16; }

// Adds what a square between four cell centres has collected, (18 bins, 4 corners), to the cells at its corners.
static void spread(const v128_t *votes, float *above, float *below) {
    for (int b = 0; b < ROOM; b += 4) {
        v128_t p = votes[b], q = votes[b + 1], r = votes[b + 2], s = votes[b + 3];
        v128_t pq = wasm_i32x4_shuffle(p, q, 0, 4, 1, 5), rs = wasm_i32x4_shuffle(r, s, 0, 4, 1, 5);
        v128_t pq2 = wasm_i32x4_shuffle(p, q, 2, 6, 3, 7), rs2 = wasm_i32x4_shuffle(r, s, 2, 6, 3, 7);
        v128_t corner[4] = {
            wasm_i64x2_shuffle(pq, rs, 0, 2), wasm_i64x2_shuffle(pq, rs, 1, 3),
            wasm_i64x2_shuffle(pq2, rs2, 0, 2), wasm_i64x2_shuffle(pq2, rs2, 1, 3),
        };
        float *cells[4] = {above + b, below + b, above + ROOM + b, below + ROOM + b};
        for (int k = 0; k < 4; k++) wasm_v128_store(cells[k], wasm_f32x4_add(wasm_v128_load(cells[k]), corner[k]));
    }
}

typedef struct {
    v128_t weight[CELL][CELL];  // of a pixel in its square for the four corners
} Weights;

static void corner_weights(Weights *w) {
    for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x++) {
            float down = (y + 0.5f) / CELL, across = (x + 0.5f) / CELL;
            w->weight[y][x] = wasm_f32x4_make((1 - down) * (1 - across), down * (1 - across), (1 - down) * across,
                                              down * across);
        }
}

// Votes of every pixel for the four cells around it: `cells` (rows + 2, columns + 2, ROOM), zeros before.
// `scratch`: `vote_bytes`, zeros before.
static void votes(const uint8_t *in, int channels, int plane, int stride, int height, int width, int columns,
                  const uint8_t *bins, float *cells, uint8_t *scratch) {
    Weights w;
    corner_weights(&w);
    float *strength = (float *)scratch;
    int32_t *index = (int32_t *)(strength + stride + SPARE);
    v128_t *squares = (v128_t *)(index + stride + SPARE);
    int count = columns + 1, line = (columns + 2) * ROOM;
    for (int y = 1; y < height; y++) {
        row_gradients(in + y * stride, channels, plane, stride, width, strength, index);
        const v128_t *weight = w.weight[(y + HALF) % CELL];
        for (int x = 1; x < width; x++) {
            v128_t *vote = squares + (x + HALF) / CELL * ROOM + bins[index[x]];
            v128_t mine = wasm_f32x4_mul(wasm_f32x4_splat(strength[x]), weight[(x + HALF) % CELL]);
            *vote = wasm_f32x4_add(*vote, mine);
        }
        if ((y + HALF) % CELL == CELL - 1 || y == height - 1) {
            float *above = cells + (y + HALF) / CELL * line;
            for (int s = 0; s < count; s++) spread(squares + s * ROOM, above + s * ROOM, above + line + s * ROOM);
            for (int i = 0; i < count * ROOM; i++) squares[i] = wasm_f32x4_splat(0);
        }
    }
}

// --- features --------------------------------------------------------------------------------------------------------

static inline float sum4(v128_t v) {
    v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}

static float energy(const float *cell) {
    float sum = 0;
    for (int b = 0; b < 9; b++) sum += (cell[b] + cell[b + 9]) * (cell[b] + cell[b + 9]);
    return sum;
}

// Limits and factors of the blocks of four cells: (rows - 1, columns - 1) each; `energies` (rows, columns) scratch.
static void norms(const float *cells, int rows, int columns, float *energies, float *limit, float *factor) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) energies[r * columns + c] = energy(cells + ((r + 1) * (columns + 2) + c + 1) * ROOM);
    for (int r = 0; r < rows - 1; r++)
        for (int c = 0; c < columns - 1; c++) {
            const float *e = energies + r * columns + c;
            float block = e[0] + e[1] + e[columns] + e[columns + 1];
            float bound = 0.2f * __builtin_sqrtf(block + 0.0001f);
            limit[r * (columns - 1) + c] = bound;
            factor[r * (columns - 1) + c] = 0.1f / bound;
        }
}

// The 31 features of one cell, `plane` floats apart.
static void cell_features(const float *cell, const float *limit, const float *factor, int line, float *out, int plane) {
    const int block[4] = {line + 1, 1, line, 0};
    float sums[31] = {0};
    for (int b = 0; b < 9; b++) sums[BINS + b] = cell[b] + cell[b + 9];
    v128_t bins[8], total[8];
    for (int i = 0; i < 5; i++) bins[i] = wasm_v128_load(cell + 4 * i);
    for (int i = 0; i < 3; i++) bins[5 + i] = wasm_v128_load(sums + BINS + 4 * i);
    for (int i = 0; i < 8; i++) total[i] = wasm_f32x4_splat(0);
    for (int k = 0; k < 4; k++) {
        v128_t most = wasm_f32x4_splat(limit[block[k]]), by = wasm_f32x4_splat(factor[block[k]]);
        v128_t texture = wasm_f32x4_splat(0);
        for (int i = 0; i < 8; i++) {
            v128_t clipped = wasm_f32x4_mul(wasm_f32x4_pmin(bins[i], most), by);
            total[i] = wasm_f32x4_add(total[i], clipped);
            if (i < 5) texture = wasm_f32x4_add(texture, clipped);
        }
        sums[27 + k] = sum4(texture) * (2 * 0.2357f);
    }
    float flat[32];
    for (int i = 0; i < 8; i++) wasm_v128_store(flat + 4 * i, total[i]);
    for (int b = 0; b < BINS; b++) out[b * plane] = flat[b];
    for (int b = 0; b < 9; b++) out[(BINS + b) * plane] = flat[20 + b];
    for (int k = 0; k < 4; k++) out[(27 + k) * plane] = sums[27 + k];
}

// Bytes of scratch that `features` needs (zeroed by it).
EXPORT(scratch)
int scratch(int stride, int rows, int columns) {
    return (rows + 2) * (columns + 2) * ROOM * 4 + vote_bytes(stride, columns) + 3 * rows * columns * 4 + 256;
}

// Felzenszwalb's features of the inner cells of planes -> `out`, planes of `out_plane` floats with lines of `out_line`.
// `bins`: direction of each gradient by 511 * (dy + 255) + dx + 255.
EXPORT(features)
void features(const uint8_t *in, int channels, int height, int width, int stride, const uint8_t *bins, float *out,
              int out_plane, int out_line, uint8_t *room) {
    int rows = (int)((float)height / CELL + 0.5f), columns = (int)((float)width / CELL + 0.5f);
    int used_height = (rows * CELL < height ? rows * CELL : height) - 1;
    int used_width = (columns * CELL < width ? columns * CELL : width) - 1;
    int cell_bytes = (rows + 2) * (columns + 2) * ROOM * 4, bytes = scratch(stride, rows, columns);
    for (int i = 0; i < bytes / 16; i++) ((v128_t *)room)[i] = wasm_i32x4_splat(0);
    float *cells = (float *)room;
    uint8_t *rest = room + cell_bytes;
    votes(in, channels, height * stride, stride, used_height, used_width, columns, bins, cells, rest);
    float *energies = (float *)(rest + vote_bytes(stride, columns));
    float *limit = energies + rows * columns, *factor = limit + rows * columns;
    norms(cells, rows, columns, energies, limit, factor);
    for (int r = 0; r < rows - 2; r++)
        for (int c = 0; c < columns - 2; c++) {
            const float *cell = cells + ((r + 2) * (columns + 2) + c + 2) * ROOM;
            int at = r * (columns - 1) + c;
            cell_features(cell, limit + at, factor + at, columns - 1, out + r * out_line + c, out_plane);
        }
}
