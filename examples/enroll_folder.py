"""Makes a gallery of a folder with a sub-folder of photos for each person: python enroll_folder.py FOLDER PEOPLE.db"""

import sys
from pathlib import Path

import mien


def main(folder: str, gallery: str) -> None:
    analyzer = mien.Analyzer(only=("identity",))
    people = mien.open_gallery(
        gallery, space=analyzer.space, describe=analyzer.describe_photo
    )
    for person in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        photos = []
        for path in sorted(person.iterdir()):
            try:
                photos.append(analyzer.photo(path.read_bytes(), source=path.name))
            except mien.MienError as exc:  # nobody, several people, no picture
                print(exc, file=sys.stderr)
        if photos:
            print(f"{person.name}: {people.enroll(person.name, photos)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
