"""Says who is in a photo: python who_is_it.py PHOTO PEOPLE"""

import sys

import mien


def main(photo: str, people: str) -> None:
    analyzer = mien.Analyzer(gallery=people, only=("identity",))
    for face in analyzer.analyze(photo).faces:
        if face.name is None:
            print("somebody unknown")
        else:
            print(f"{face.name}, {face.name_probability:.0%} sure")


if __name__ == "__main__":
    main(*sys.argv[1:])
