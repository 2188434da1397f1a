"""Step 2: what teachers say of the chips: 52 blendshapes by MediaPipe's face landmarker, and the older heads' answers.

The older heads' answers (age, gender, emotion) are targets where a set has no label, so that a set does not give away
the task; blendshapes are a further target, and tell smiles and calm faces in the sets without emotions.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import cv2
import numpy as np
from data import SETS

from mien.models.attributes.landmarker import READ, converted
from mien.models.backbone import load_resnet
from mien.runtime import Compute, OnnxModel

MESH_SIDE = 256
EVERY = {
    "utkface": 3,
    "ferplus": 8,
}  # of the large sets only every third, eighth picture is shown to the teachers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--landmarker", type=Path, required=True, help="face_landmarker.task"
    )
    parser.add_argument(
        "--heads", type=Path, required=True, help="the older heads on dlib's ResNet"
    )
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parser.parse_args()
    mesh, blend = _networks(args.landmarker)
    backbone = load_resnet(Compute("cpu", 1))
    heads = OnnxModel(args.heads.read_bytes(), "heads", Compute("cpu", 1))
    for name in args.sets:
        target = args.work / f"{name}-taught.npz"
        if not target.exists():
            chips = np.load(args.work / f"{name}.npy", mmap_mode="r")
            rows = np.arange(0, len(chips), EVERY.get(name, 1))
            np.savez(
                target,
                rows=rows,
                **blendshapes(mesh, blend, chips, rows),
                **older(backbone, heads, chips, rows),
            )
            print(f"{name}: {len(rows)} of {len(chips)} chips", flush=True)


def _networks(task: Path) -> list[OnnxModel]:
    """MediaPipe's networks of the 478 points and of the 52 blendshapes."""
    parts = np.load(io.BytesIO(converted(task.read_bytes(), task.name)))
    return [
        OnnxModel(parts[key].tobytes(), key, Compute("cpu", 1))
        for key in ("mesh", "shapes")
    ]


def blendshapes(
    mesh: OnnxModel, blend: OnnxModel, chips: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Blendshapes (N, 52) of 0 to 1 and the landmarker's logit of a face being there (N,) of these rows."""
    shapes, presence = (
        np.zeros((len(rows), 52), np.float32),
        np.zeros(len(rows), np.float32),
    )
    for i, row in enumerate(rows):
        large = cv2.resize(
            chips[row], (MESH_SIDE, MESH_SIDE), interpolation=cv2.INTER_LINEAR
        )
        flat, logit, *_ = mesh(large[None, :, :, ::-1].astype(np.float32) / 255)
        points = flat.reshape(478, 3)[READ, :2]
        shapes[i] = blend(points[None].astype(np.float32))[0].reshape(52)
        presence[i] = logit.reshape(-1)[0]
    return {"blendshapes": shapes, "presence": presence}


def older(
    backbone: OnnxModel, heads: OnnxModel, chips: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """The older heads' probabilities of these rows."""
    parts: dict[str, list[np.ndarray]] = {"age": [], "gender": [], "emotion": []}
    for start in range(0, len(rows), 32):
        batch = chips[rows[start : start + 32]]
        answers = backbone(batch, outputs=("map_128", "map_256", "embedding"))
        for key, probs in zip(
            parts, heads(*answers, outputs=tuple(parts)), strict=True
        ):
            parts[key].append(probs.astype(np.float32))
    return {key: np.concatenate(values) for key, values in parts.items()}


if __name__ == "__main__":
    main()
