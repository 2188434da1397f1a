#!/bin/sh
# Makes the detector from the photos and the teachers: make.sh DATA TEACHER LANDMARKER OUT
# Every step continues what an earlier run of this script left behind.
set -e
data=$(realpath "$1") teacher=$(realpath "$2") mesh=$(realpath "$3") out=$(realpath "$4") python=${PYTHON:-python}
cd "$(dirname "$0")"
shards() { $python cache.py --data "$data" --teacher "$teacher" --out "$out" "$@"; }
train() { $python train.py --run "$out/run" "$@"; }

shards --size 256 --shards 0 11
train --steps 16000 --until 4250 --shards "$out/shards256"
[ -f "$out/m1.onnx" ] || $python export.py --checkpoint "$out/run/last.pt" --out "$out/m1.onnx"
[ -f "$out/mined" ] || $python mine.py --data "$data" --teacher "$teacher" --student "$out/m1.onnx" --out "$out"
touch "$out/mined"
shards --size 256 --name hard256 --shards 20 27
shards --size 320 --shards 0 8
train --steps 12500 --until 10250 --shards "$out/shards256" "$out/hard256" "$out/shards320"
train --steps 12800 --shards "$out/hard256" "$out/shards320"
train --steps 15600 --until 14000 --shards "$out/shards256" "$out/hard256" "$out/shards320"
train --steps 15300 --points 20 --shards "$out/shards256" "$out/hard256" "$out/shards320"
$python export.py --checkpoint "$out/run/last.pt" --out "$out/detector.onnx"
for kind in people pasted faceless objects
do $python candidates.py --data "$data" --teacher "$teacher" --student "$out/detector.onnx" --out "$out/seen" --kind $kind
done
$python verify.py --candidates "$out/seen" --out "$out/verifier" --steps 24000 --threads 2
$python mesh.py --data "$data" --teacher "$teacher" --mesh "$mesh" --out "$out/points"
gather() {
  $python gather.py --data "$data" --teacher "$teacher" --mesh "$mesh" --points "$out/points" \
    --student "$out/detector.onnx" --out "$out/looks" "$@"
}
gather --kinds scenes --files 0 4 --count 3000
gather --kinds faceless --files 0 3 --count 3000
gather --kinds people --files 0 3 --count 4000
gather --kinds alone --files 0 1 --count 4000
gather --kinds alone --files 1 3 --count 6000
$python angle.py --looks "$out/looks" --out "$out/angle"
$python exact.py --data "$data" --teacher "$teacher" --mesh "$mesh" --points "$out/points" --out "$out/faces"
$python points.py --faces "$out/faces" --out "$out/exact"
$python plot.py --run "$out/run" --verifier "$out/verifier"
$python threshold.py --data "$data" --networks "$out/detector.onnx" "$out/verifier/verifier.onnx"
