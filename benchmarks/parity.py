"""The drop-in beside the real `face_recognition` with dlib: does every photo get the same boxes, points, descriptors?

    python benchmarks/parity.py fixtures/photos cacd_vs.tar crowd.tar --oracle-python ORACLE/bin/python

Both packages have one name, so each answers in its own interpreter: ours in the one that runs this script, theirs in
`--oracle-python`, an environment made by

    python -m venv ORACLE
    ORACLE/bin/pip install "setuptools<81" dlib-bin numpy pillow click face_recognition_models
    ORACLE/bin/pip install --no-deps face_recognition==1.3.0

Photos are folders or .tar files, `--each` of every one of them, evenly picked; larger ones are shrunk to `--side`.
Boxes are HOG's, upsampled once, and on the first `--cnn` photos the CNN's too. Points and descriptors are compared for
every face that both draw alike. Prints a Markdown table and every photo whose boxes differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from oracle import environment
from PIL import Image

SUFFIXES = {".jpg", ".jpeg", ".png"}


def pick(folder: Path, count: int) -> list[Path]:
    files = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES
    )
    places = np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)
    return [files[i] for i in places]


def prepare(sources: list[Path], each: int, side: int, into: Path) -> list[Path]:
    """The photos as PNG files, so that both read the same pixels."""
    photos = []
    for source in sources:
        folder = source
        if source.suffix == ".tar":
            folder = into / (source.stem + "_tar")
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
        for path in pick(folder, each):
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            photos.append(into / f"{source.stem}-{path.stem}.png")
            picture.save(photos[-1], compress_level=1)
    return photos


def answer(listing: Path, output: Path, cnn: int) -> None:
    """What the `face_recognition` of this interpreter says about each photo, one JSON line each."""
    import face_recognition
    from face_recognition import api

    with output.open("w") as lines:
        for number, name in enumerate(listing.read_text().splitlines()):
            image = face_recognition.load_image_file(name)
            boxes = [
                api._rect_to_css(rect) for rect in api._raw_face_locations(image, 1)
            ]
            row = {"photo": Path(name).name, "boxes": boxes}
            for model in ("small", "large"):
                faces = api._raw_face_landmarks(image, boxes, model)
                row[model + "_points"] = [
                    [(p.x, p.y) for p in face.parts()] for face in faces
                ]
                row[model] = [
                    list(map(float, v))
                    for v in face_recognition.face_encodings(image, boxes, model=model)
                ]
            if number < cnn:
                found = api._raw_face_locations(image, 0, "cnn")
                row["cnn"] = [
                    [*api._rect_to_css(face.rect), float(face.confidence)]
                    for face in found
                ]
            lines.write(json.dumps(row) + "\n")


def ask(python: str, listing: Path, output: Path, cnn: int) -> list[dict]:
    command = [
        python,
        "-W",
        "ignore",
        str(Path(__file__)),
        "--answer",
        str(listing),
        str(output),
        "--cnn",
        str(cnn),
    ]
    subprocess.run(command, check=True, env=environment(python))
    return [json.loads(line) for line in output.read_text().splitlines()]


def compare(ours: list[dict], theirs: list[dict]) -> dict:
    """Counts, the largest differences, and each photo whose boxes differ."""
    out: dict = {
        "photos": len(theirs),
        "faces": sum(len(row["boxes"]) for row in theirs),
        "different": [],
    }
    points = {"small": [], "large": []}
    distances = {"small": [], "large": []}
    for a, b in zip(ours, theirs, strict=True):
        if a["boxes"] != b["boxes"]:
            out["different"].append(
                {"photo": a["photo"], "ours": a["boxes"], "theirs": b["boxes"]}
            )
        at = {tuple(box): i for i, box in enumerate(a["boxes"])}
        for j, box in enumerate(b["boxes"]):
            i = at.get(tuple(box))
            for model in points if i is not None else ():
                both = (
                    np.array(row[model + "_points"][k]) for row, k in ((a, i), (b, j))
                )
                points[model].append(int(np.abs(np.subtract(*both)).max()))
                distances[model].append(
                    float(np.linalg.norm(np.subtract(a[model][i], b[model][j])))
                )
    out["photos_equal"] = out["photos"] - len(out["different"])
    for model in points:
        out[model] = {
            "faces": len(points[model]),
            "points_equal": sum(not worst for worst in points[model]),
            "worst_point_px": max(points[model], default=0),
            "l2_median": float(np.median(distances[model] or [0])),
            "l2_max": max(distances[model], default=0.0),
        }
    out["cnn"] = compare_cnn(ours, theirs)
    return out


def compare_cnn(ours: list[dict], theirs: list[dict]) -> dict:
    pairs = [
        (a["cnn"], b["cnn"]) for a, b in zip(ours, theirs, strict=True) if "cnn" in b
    ]
    same = [
        len(a) == len(b) and all(p[:4] == q[:4] for p, q in zip(a, b, strict=True))
        for a, b in pairs
    ]
    return {
        "photos": len(pairs),
        "photos_equal": sum(same),
        "faces": sum(len(b) for _, b in pairs),
    }


def table(result: dict) -> str:
    rows = [
        ("photos", result["photos"]),
        ("faces dlib finds (HOG, upsampled once)", result["faces"]),
        (
            "photos with equal HOG boxes",
            f"{result['photos_equal']} ({100 * result['photos_equal'] / result['photos']:.1f} %)",
        ),
    ]
    for model, name in (("small", "5 points"), ("large", "68 points")):
        part = result[model]
        rows.append(
            (f"faces with equal {name}", f"{part['points_equal']} of {part['faces']}")
        )
        rows.append(
            (
                f"descriptor, {name}: L2 median / max",
                f"{part['l2_median']:.5f} / {part['l2_max']:.5f}",
            )
        )
    cnn = result["cnn"]
    rows.append(
        (
            "photos with equal CNN boxes",
            f"{cnn['photos_equal']} of {cnn['photos']} ({cnn['faces']} faces)",
        )
    )
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="parity of the drop-in with face_recognition and dlib"
    )
    parser.add_argument("photos", nargs="*", type=Path, help="folders or .tar files")
    parser.add_argument(
        "--oracle-python",
        help="interpreter that has the real face_recognition and dlib",
    )
    parser.add_argument("--each", type=int, default=150, help="photos of every source")
    parser.add_argument("--side", type=int, default=800, help="longest side, pixels")
    parser.add_argument(
        "--cnn", type=int, default=40, help="photos to compare the CNN detector on"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--answer",
        nargs=2,
        type=Path,
        metavar=("LIST", "OUTPUT"),
        help=argparse.SUPPRESS,
    )
    options = parser.parse_args()
    if options.answer:
        answer(*options.answer, options.cnn)
        return
    if not options.photos or not options.oracle_python:
        parser.error("photos and --oracle-python are needed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = folder / "photos.txt"
        listing.write_text(
            "\n".join(
                map(str, prepare(options.photos, options.each, options.side, folder))
            )
        )
        ours = ask(sys.executable, listing, folder / "ours.jsonl", options.cnn)
        theirs = ask(
            options.oracle_python, listing, folder / "theirs.jsonl", options.cnn
        )
    result = compare(ours, theirs)
    print(table(result))
    for row in result["different"]:
        print(f"{row['photo']}: ours {row['ours']}, theirs {row['theirs']}")
    if options.output:
        options.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
