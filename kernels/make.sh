#!/bin/sh
# Compiles the kernels: make.sh [TARGET]. Needs clang and wasm-ld of LLVM 16 (Debian: clang-16, lld-16).
set -e
cd "$(dirname "$0")"
target=${1:-../src/mien/dlib_models/kernels.wasm}
${CLANG:-clang-16} --target=wasm32 -O3 -msimd128 -mbulk-memory -mnontrapping-fptoint -nostdlib -ffreestanding \
    -Wall -Wextra -Werror -Wl,--no-entry -Wl,--export=__heap_base -Wl,-z,stack-size=65536 -Wl,--strip-all \
    -o "$target" hog.c landmarks.c
# A last section that names the source: 72 bytes, the name "sources", the hash.
printf '\000\110\007sources%s' "$(cat hog.c landmarks.c | sha256sum | cut -c1-64)" >> "$target"
chmod 644 "$target"
