"""Saves the frame of a film in which somebody looks happiest: python happiest_moment.py FILM PICTURE"""

import sys

import mien


def main(film: str, picture: str) -> None:
    analyzer = mien.Analyzer(only=("emotion",))
    best, happiest = None, -1.0
    for result in analyzer.stream(film, keep_image=True):
        for face in result.faces:
            happiness = face.probs["emotion"]["happiness"] if face.emotion else 0.0
            if happiness > happiest:
                best, happiest = result, happiness
    if best is None:
        print("nobody is in this film")
        return
    best.save(picture)
    print(f"{happiest:.0%} at {best.time_s:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
