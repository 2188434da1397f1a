"""Writes what is in a folder of photos as a table: python album_table.py FOLDER TABLE.csv (needs pandas)"""

import sys
from pathlib import Path

import mien
from mien.output.results import to_pandas


def main(folder: str, table: str) -> None:
    photos = sorted(
        path for path in Path(folder).rglob("*") if path.suffix in {".jpg", ".png"}
    )
    analyzer = mien.Analyzer(threads=1)
    results = list(analyzer.analyze_many(photos, jobs=2))
    for result in results:
        if result.error is not None:
            print(result.error, file=sys.stderr)
    faces = to_pandas(results)
    faces.to_csv(table, index=False)
    print(f"{len(faces)} faces in {len(photos)} photos")


if __name__ == "__main__":
    main(*sys.argv[1:])
