"""Lists the photos of a folder that show one person: python find_in_album.py PHOTO FOLDER"""

import sys
from pathlib import Path

import numpy as np

import mien


def main(photo: str, folder: str) -> None:
    analyzer = mien.Analyzer(only=("identity",))
    wanted = analyzer.photo(Path(photo).read_bytes(), source=photo).embedding
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() not in {".jpg", ".png"}:
            continue
        faces = analyzer.analyze(path).faces
        if not len(faces) or faces.embeddings is None:
            continue
        nearest = np.linalg.norm(faces.embeddings - wanted, axis=1).min()
        if nearest <= analyzer.tolerance:
            print(f"{path} {nearest:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
