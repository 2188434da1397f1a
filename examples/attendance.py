"""Says who was in a film, from when to when: python attendance.py FILM PEOPLE"""

import sys

import mien


def main(film: str, people: str) -> None:
    analyzer = mien.Analyzer(gallery=people, only=("identity",))
    seen: dict[str, list[float]] = {}
    for result in analyzer.stream(film):
        for face in result.faces:
            if face.name is not None:
                seen.setdefault(face.name, []).append(result.time_s)
    for name, times in sorted(seen.items()):
        print(f"{name}: {times[0]:.1f} s to {times[-1]:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
