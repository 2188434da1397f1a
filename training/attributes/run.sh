#!/bin/sh
# The whole recipe: run.sh DATA WORK LANDMARKER.task HEADS.onnx [STEPS]
#
# PREPARE is a Python with mien installed, TRAIN one with mien, PyTorch and onnx; they may be the same. HALF=--half
# multiplies in bfloat16 (see train.py), OLDER is an emotion.onnx to take a mean with (see mean.py). Every step keeps
# its result in WORK and is skipped, or taken up where it stopped, when run again.
set -eu
data=$1 work=$2 landmarker=$3 heads=$4 steps=${5:-16000}
here=$(cd "$(dirname "$0")" && pwd)
weights=$here/../../src/mien/weights
prepare=${PREPARE:-python} train=${TRAIN:-python}
cd "$here"
mkdir -p "$work"
"$prepare" chips.py --data "$data" --work "$work" --sets utkface affect & second=$!
"$prepare" chips.py --data "$data" --work "$work" --sets aaf portraits ferplus
wait "$second"
"$prepare" teachers.py --work "$work" --landmarker "$landmarker" --heads "$heads"
"$prepare" features.py --work "$work"
[ -f "$work/traits-weights.npz" ] || "$train" traits.py --work "$work" --heads "$heads"
"$train" train.py --work "$work" --steps "$steps" ${HALF:-}
rm -f "$work/mean.pt"
[ -z "${OLDER:-}" ] || "$train" mean.py --work "$work" --older "$OLDER" --share 0.3
"$train" calibrate.py --work "$work"
"$train" curves.py --work "$work" --output curves.png
"$train" export.py --work "$work" --weights "$weights"
"$prepare" proof.py --work "$work" --model "$weights/emotion.onnx"
