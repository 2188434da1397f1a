"""Fits the last look: the five points of a face, exactly, from fixed features by two linear maps (ridge).

A cascade (supervised descent): the first map is fitted to faces shown where a detector in a hurry supposes them, the
second to faces shown nearly where they are. What both read are edges: in eight directions, summed over cells of eight
pixels, divided by how much edge there is around. No step is random but the drawing of the looks, which is seeded; a
core needs a minute.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from exact import EYES, SIDE as KEPT
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mien import geometry
from mien.models.detectors.points import CROP, FRAME
from mien.runtime import Compute, OnnxModel

U8, F32 = NDArray[np.uint8], NDArray[np.float32]
Rng = np.random.Generator

MIRROR = [1, 0, 2, 4, 3]
CHANCES = {"cacd_vs": 1.0, "portraits": 0.8, "scenes": 2.0, "crowd": 3.0}
FACE = 100 / 53.2  # of a face's width to the distance between its eyes
SHIFTS = 6  # pixels of the kept picture: less than one of a small photo
WAYS, CELL = 8, 8  # directions of edges; pixels of a cell, which overlap by half
FLAT = 6.0  # grey levels: edges weaker than this are noise
GUESSES = 2  # of each kind a photo is shown at
RIDGE = {"wide": 3.0, "fine": 1.0}  # of a feature's variance, as many looks


@dataclass(frozen=True, slots=True)
class Faces:
    """What `exact.py` kept."""

    crops: list[U8]  # per set (N, KEPT, KEPT, 3)
    points: list[F32]  # (N, 5, 2)
    chances: NDArray[np.float64]  # that each set is drawn from

    @classmethod
    def read(cls, folder: Path, part: str) -> Faces:
        paths = sorted(folder.glob(f"*-{part}.rows.npy"))
        rows = [np.load(path) for path in paths]
        names = [path.name.split("-")[0] for path in paths]
        crops = [
            np.load(str(path).replace(".rows.", ".crops."), mmap_mode="r")
            for path in paths
        ]
        weights = np.array(
            [len(r) * CHANCES.get(n, 1.0) for r, n in zip(rows, names, strict=True)]
        )
        points = [r[:, 1:11].reshape(-1, 5, 2) for r in rows]
        return cls(crops, points, weights / weights.sum())

    def draw(self, rng: Rng) -> tuple[U8, F32]:
        """A face (KEPT, KEPT, 3) and its points, every second one mirrored."""
        which = rng.choice(len(self.crops), p=self.chances)
        row = rng.integers(len(self.points[which]))
        crop, points = np.asarray(self.crops[which][row]), self.points[which][row]
        if rng.random() < 0.5:
            points = points[MIRROR] * (-1, 1) + (KEPT - 1, 0)
            crop = cv2.flip(crop, 1)
        return crop, points.astype(np.float32)


NOISE = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Manner:
    """How one face is shown, in both of its copies."""

    scale: float  # of the kept picture: how small it is in the photo
    light: F32  # (3,) factors
    bias: float
    grey: bool
    smear: U8 | F32 | None
    noise: float
    quality: int | None
    hidden: tuple[int, int, int, int] | None  # a rectangle of the kept picture

    @classmethod
    def draw(cls, rng: Rng) -> Manner:
        size = math.exp(rng.uniform(math.log(14), math.log(EYES * FACE)))
        light = rng.uniform(0.55, 1.35) * rng.uniform(0.9, 1.1, 3)
        hidden = None
        if rng.random() < 0.12:
            x, y = rng.integers(24, KEPT - 50, 2)
            hidden = (x, y, *rng.integers(8, 40, 2))
        return cls(
            size / (EYES * FACE) if rng.random() < 0.65 else 1.0,
            light.astype(np.float32),
            rng.uniform(-25, 25),
            rng.random() < 0.15,
            smear_of(rng) if rng.random() < 0.15 else None,
            rng.uniform(0, 7),
            int(rng.integers(25, 95)) if rng.random() < 0.4 else None,
            hidden,
        )


def smear_of(rng: Rng) -> F32:
    """The kernel of a camera that moved, or of a lens out of focus."""
    size = int(rng.choice([3, 5]))
    if rng.random() < 0.5:
        return np.full((size, size), 1 / size**2, np.float32)
    kernel = np.zeros((size, size), np.float32)
    way = rng.uniform(0, math.pi)
    for at in np.linspace(-1, 1, 9):
        x, y = (size // 2) * (1 + at * np.array([math.cos(way), math.sin(way)]))
        kernel[round(y), round(x)] += 1
    return kernel / kernel.sum()


def shown(crop: U8, manner: Manner, rng: Rng) -> tuple[U8, F32]:
    """The face as a photo shows it, and the map (2, 3) from the kept picture to it."""
    left, top = rng.integers(0, SHIFTS + 1, 2)
    side = KEPT - SHIFTS
    photo = np.ascontiguousarray(crop[top : top + side, left : left + side])
    if manner.hidden is not None:
        x, y, w, h = manner.hidden
        photo[y : y + h, x : x + w] = NOISE[x : x + 3] * 60 + 110
    length = max(16, round(side * manner.scale))
    if length < side:
        photo = cv2.resize(photo, (length, length), interpolation=cv2.INTER_AREA)
    if manner.smear is not None:
        photo = cv2.filter2D(photo, -1, manner.smear)
    start = int(rng.integers(len(NOISE) - photo.size))
    noise = NOISE[start : start + photo.size].reshape(photo.shape)
    lit = noise * np.float32(manner.noise)
    lit += photo * manner.light
    lit += np.float32(manner.bias)
    photo = cv2.convertScaleAbs(np.maximum(lit, 0))
    if manner.grey:
        photo = cv2.cvtColor(
            cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR
        )
    if manner.quality is not None:
        flags = [cv2.IMWRITE_JPEG_QUALITY, manner.quality]
        photo = cv2.imdecode(cv2.imencode(".jpg", photo, flags)[1], cv2.IMREAD_COLOR)
    scale = length / side
    shift = (scale - 1) / 2 - scale * np.array([left, top])
    return photo, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def supposed(points: F32, rng: Rng, *, again: bool) -> F32:
    """Where a detector supposes the points (5, 2); where the first look did, if it is looked at `again`."""
    turn = rng.normal(0, 0.05 if again else 0.16)
    scale = math.exp(rng.normal(0, 0.05 if again else 0.11))
    shift = rng.normal(0, 0.04 if again else 0.1, 2) * EYES
    if not again and rng.random() < 0.15:
        turn = rng.uniform(-0.7, 0.7)
    middle = points.mean(0)
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    moved = (points - middle) @ np.array([[cos, sin], [-sin, cos]], np.float32)
    noise = rng.normal(0, 0.02 * EYES, (5, 2))
    return (moved + middle + shift + noise).astype(np.float32)


def features() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The fixed part: pictures `crops` (N, 64, 64, 3) uint8 BGR to `edges` (N, 1800)."""
    angles = np.arange(WAYS) * (2 * np.pi / WAYS)
    slope = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    filters = [math.cos(way) * slope + math.sin(way) * slope.T for way in angles]
    constants = {
        "filters": np.stack(filters)[:, None].astype(np.float32),
        "flat": np.array(FLAT / 4, np.float32),
    }
    half = {"kernel_shape": [CELL // 2, CELL // 2], "strides": [CELL // 2, CELL // 2]}
    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["crops"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["grey"], axes=[3]),
        helper.make_node("Transpose", ["grey"], ["plane"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["plane", "filters"], ["slopes"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["slopes"], ["rises"]),
        helper.make_node("AveragePool", ["rises"], ["halves"], **half),
        helper.make_node("AveragePool", ["halves"], ["cells"], kernel_shape=[2, 2]),
        helper.make_node("ReduceMean", ["cells"], ["mean"], axes=[1]),
        helper.make_node("AveragePool", ["mean"], ["near"], **around),
        helper.make_node("Add", ["near", "flat"], ["much"]),
        helper.make_node("Div", ["cells", "much"], ["share"]),
        helper.make_node("Sqrt", ["share"], ["root"]),
        helper.make_node("Flatten", ["root"], ["edges"]),
    ]
    return nodes, [numpy_helper.from_array(v, k) for k, v in constants.items()]


def model_of(maps: dict[str, F32] | None = None) -> onnx.ModelProto:
    """What ships: `crops` to `wide` and `fine`, points (N, 5, 2) in pixels of the crop; without maps, to `edges`.

    Maps are (1801, 10), the last row where the points are if nothing is seen; kept as float16, read as float32.
    """
    nodes, constants = features()
    outputs = (
        []
        if maps
        else [
            helper.make_tensor_value_info("edges", TensorProto.FLOAT, ["batch", None])
        ]
    )
    for name, rows in (maps or {}).items():
        constants += [
            numpy_helper.from_array(rows[:-1].astype(np.float16), f"{name}_half"),
            numpy_helper.from_array(rows[-1].astype(np.float32), f"{name}_mean"),
        ]
        nodes += [
            helper.make_node(
                "Cast", [f"{name}_half"], [f"{name}_map"], to=TensorProto.FLOAT
            ),
            helper.make_node(
                "Gemm", ["edges", f"{name}_map", f"{name}_mean"], [f"{name}_flat"]
            ),
            helper.make_node("Reshape", [f"{name}_flat", "five"], [name]),
        ]
        outputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 5, 2])
        )
    if maps:
        constants.append(
            numpy_helper.from_array(np.array([-1, 5, 2], np.int64), "five")
        )
    crops = helper.make_tensor_value_info(
        "crops", TensorProto.UINT8, ["batch", CROP, CROP, 3]
    )
    graph = helper.make_graph(nodes, "points", [crops], outputs, constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model)
    return model


def gather(faces: Faces, args: argparse.Namespace, place: Path) -> None:
    """Keeps the edges (N, 1800) and the points (N, 5, 2) of seeded looks of both kinds."""
    rng = np.random.default_rng(args.seed)
    look = OnnxModel(model_of().SerializeToString(), "edges", Compute("cpu", 1))
    kept: dict[str, list[tuple[NDArray[np.float16], F32]]] = {"wide": [], "fine": []}
    for _ in range(args.photos):
        crop, points = faces.draw(rng)
        photo, to_photo = shown(crop, Manner.draw(rng), rng)
        for kind, rows in kept.items():
            seen = [seen_at(photo, to_photo, points, kind, rng) for _ in range(GUESSES)]
            edges = look(np.stack([crop for crop, _ in seen]))[0]
            rows.append(
                (edges.astype(np.float16), np.stack([true for _, true in seen]))
            )
    for kind, rows in kept.items():
        edges, points = (np.concatenate(column) for column in zip(*rows, strict=True))
        np.savez(place / f"looks-{kind}.npz", edges=edges, points=points)


def seen_at(
    photo: U8, to_photo: F32, points: F32, kind: str, rng: Rng
) -> tuple[U8, F32]:
    """The face (64, 64, 3) where it is supposed, and its points there."""
    guess = supposed(points, rng, again=kind == "fine")
    near = geometry.transform(guess[None], to_photo)[0]
    to_crop = geometry.similarity(near[None], FRAME)
    true = geometry.transform(points[None], to_photo)
    return (
        geometry.cut(photo, to_crop[0], size=CROP),
        geometry.transform(true, to_crop)[0],
    )


def solved(edges: NDArray[np.float16], points: F32, ridge: float) -> F32:
    """The linear map (1801, 10) from edges to points with the least squares."""
    x = edges.astype(np.float32)
    mean, target = x.mean(axis=0), points.reshape(len(points), 10)
    middle = target.mean(axis=0)
    x -= mean
    square = x.T @ x
    square[np.diag_indices_from(square)] += ridge * np.trace(square) / len(square) / 10
    rows = np.linalg.solve(square, x.T @ (target - middle))
    return np.vstack([rows, middle - mean @ rows]).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--faces", type=Path, required=True, help="the folder that exact.py filled"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gather-only", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "looks-fine.npz").exists():
        gather(Faces.read(args.faces, "learn"), args, args.out)
    if args.gather_only:
        return
    maps = {}
    for kind, ridge in RIDGE.items():
        looks = np.load(args.out / f"looks-{kind}.npz")
        maps[kind] = solved(looks["edges"], looks["points"], ridge)
    onnx.save(model_of(maps), args.out / "points.onnx")


if __name__ == "__main__":
    main()
