// dlib's shape predictor (Kazemi and Sullivan 2014), to the bit, as WebAssembly: see README.md.

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum { MOST_NUMBERS = 1024, MOST_TREES = 4096 };

// C cascades of T full trees with S splits over F sampled pixels, for N = 2 * points numbers, `room` of them kept.
typedef struct {
    const float *mean;        // (room)
    const double *fit;        // (N, 2): shape @ fit is the similarity from the mean shape
    const uint16_t *pixels;   // (C, T, S, 2)
    const int16_t *limits;    // (C, T, S): go left if first - second > limit
    const float *leaves;      // (C, T, S + 1, room)
    const uint16_t *anchors;  // (C, F)
    const float *deltas;      // (C, F, 2)
    int numbers, room, cascades, trees, splits, features;
} Model;

// A part of an image, (height, width, channels) bytes: `left`, `top` are its corner, `whole_*` the image's size.
typedef struct {
    const uint8_t *bytes;
    int channels, height, width, left, top, whole_height, whole_width;
} Part;

static inline int grey(const Part *part, int64_t x, int64_t y, int *missed) {
    if (x < 0 || y < 0 || x >= part->whole_width || y >= part->whole_height) return 0;
    x -= part->left, y -= part->top;
    if (x < 0 || y < 0 || x >= part->width || y >= part->height) return *missed = 1, 0;
    const uint8_t *at = part->bytes + (y * part->width + x) * part->channels;
    return part->channels == 1 ? at[0] : (at[0] + at[1] + at[2]) / 3;
}

// Grey values of a cascade's pixels, where they lie for the shape.
static void sample(const Model *m, int cascade, const float *shape, const Part *part, const double *box, int16_t *out,
                   int *missed) {
    double a = 0, b = 0;
    for (int i = 0; i < m->numbers; i++) a += shape[i] * m->fit[2 * i], b += shape[i] * m->fit[2 * i + 1];
    float along = (float)a, across = (float)b;
    const uint16_t *anchor = m->anchors + cascade * m->features;
    const float *delta = m->deltas + 2 * cascade * m->features;
    for (int f = 0; f < m->features; f++, delta += 2) {
        float x = delta[0] * along, y = delta[1] * along;
        x += -delta[1] * across, y += delta[0] * across;
        x += shape[2 * anchor[f]], y += shape[2 * anchor[f] + 1];
        double px = __builtin_floor((double)x * box[2] + box[0] + 0.5);
        double py = __builtin_floor((double)y * box[3] + box[1] + 0.5);
        out[f] = (int16_t)grey(part, (int64_t)px, (int64_t)py, missed);
    }
}

// The leaf that every tree of a cascade ends in.
static void find_leaves(const Model *m, int cascade, const int16_t *values, const float **leaves) {
    const uint16_t *pixels = m->pixels + (intptr_t)cascade * m->trees * m->splits * 2;
    const int16_t *limits = m->limits + (intptr_t)cascade * m->trees * m->splits;
    const float *first = m->leaves + (intptr_t)cascade * m->trees * (m->splits + 1) * m->room;
    for (int t = 0; t < m->trees; t++) {
        int node = 0;
        while (node < m->splits) {
            const uint16_t *pair = pixels + 2 * node;
            node = 2 * node + 2 - (values[pair[0]] - values[pair[1]] > limits[node]);
        }
        leaves[t] = first + (node - m->splits) * m->room;
        pixels += 2 * m->splits, limits += m->splits, first += (m->splits + 1) * m->room;
    }
}

// Adds the leaves one after the other as dlib does: any other order drifts by pixels.
static void add_leaves(const Model *m, const float **leaves, float *shape) {
    int i = 0;
    for (; i + 16 <= m->room; i += 16) {
        v128_t sum[4];
        for (int k = 0; k < 4; k++) sum[k] = wasm_v128_load(shape + i + 4 * k);
        for (int t = 0; t < m->trees; t++)
            for (int k = 0; k < 4; k++) sum[k] = wasm_f32x4_add(sum[k], wasm_v128_load(leaves[t] + i + 4 * k));
        for (int k = 0; k < 4; k++) wasm_v128_store(shape + i + 4 * k, sum[k]);
    }
    for (; i < m->room; i += 4) {
        v128_t sum = wasm_v128_load(shape + i);
        for (int t = 0; t < m->trees; t++) sum = wasm_f32x4_add(sum, wasm_v128_load(leaves[t] + i));
        wasm_v128_store(shape + i, sum);
    }
}

// Landmarks of the face in `box` (left, top, width, height) -> whole pixels `out` (N). 1 where the part was too small.
// `values`: room for F numbers.
EXPORT(landmarks)
int landmarks(const Model *m, const Part *part, const double *box, int16_t *values, float *out) {
    float shape[MOST_NUMBERS];
    const float *leaves[MOST_TREES];
    int missed = 0;
    for (int i = 0; i < m->room; i++) shape[i] = m->mean[i];
    for (int c = 0; c < m->cascades; c++) {
        sample(m, c, shape, part, box, values, &missed);
        find_leaves(m, c, values, leaves);
        add_leaves(m, leaves, shape);
    }
    for (int i = 0; i < m->numbers; i++)
        out[i] = (float)__builtin_floor((double)shape[i] * box[2 + i % 2] + box[i % 2] + 0.5);
    return missed;
}
