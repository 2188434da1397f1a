#!/bin/sh
# The whole recipe: run.sh DATA WORK YUNET.onnx
#
# PREPARE is a Python with mien installed (and onnx), TRAIN one with PyTorch, onnx and matplotlib; they may be the same.
# Every step keeps its result in WORK and is skipped, or taken up where it stopped, when run again.
set -eu
data=$1 work=$2 yunet=$3
here=$(cd "$(dirname "$0")" && pwd)
prepare=${PREPARE:-python} train=${TRAIN:-python}
cd "$here"
for set in utkface ferplus; do
    "$prepare" detect.py --data "$data" --work "$work" --yunet "$yunet" --set "$set"
done
"$prepare" features.py --data "$data" --work "$work" --backwards & second=$!
"$prepare" features.py --data "$data" --work "$work"
wait "$second"
[ -f "$work/people.npz" ] || "$train" fit.py --data "$data" --work "$work" --body people --epochs 16 5
[ -f "$work/mood.npz" ] || "$train" fit.py --data "$data" --work "$work" --body mood --epochs 18 6
"$train" calibrate.py --data "$data" --work "$work"
"$train" curves.py --work "$work" --output curves.png
"$train" export.py --work "$work" --output "$here/../../src/mien/weights/attributes.onnx"
