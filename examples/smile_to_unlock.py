"""Waits until one of the people smiles at the camera: python smile_to_unlock.py PEOPLE [CAMERA OR FILM]"""

import sys

import mien


def main(people: str, source: str = "0") -> None:
    analyzer = mien.Analyzer(gallery=people, only=("identity", "emotion"))
    camera = int(source) if source.isdigit() else source
    for result in analyzer.stream(camera):
        for face in result.faces:
            if face.name is not None and face.emotion == "happiness":
                print(f"welcome, {face.name}")
                return
    print("nobody known smiled")


if __name__ == "__main__":
    main(*sys.argv[1:])
