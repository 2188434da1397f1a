"""Writes the mood of a film second by second as a table: python moods_over_time.py FILM TABLE.csv"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import mien


def main(film: str, table: str) -> None:
    analyzer = mien.Analyzer(only=("emotion",))
    seconds: dict[int, list[dict[str, float]]] = defaultdict(list)
    for result in analyzer.stream(film):
        for face in result.faces:
            if face.emotion is not None:
                seconds[int(result.time_s)].append(face.probs["emotion"])
    if not seconds:
        print("nobody is in this film")
        return
    moods = list(next(iter(seconds.values()))[0])
    with Path(table).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["second", *moods])
        for second, found in sorted(seconds.items()):
            means = [sum(one[mood] for one in found) / len(found) for mood in moods]
            rows.writerow([second, *(f"{mean:.3f}" for mean in means)])
    print(f"{len(seconds)} seconds")


if __name__ == "__main__":
    main(*sys.argv[1:])
