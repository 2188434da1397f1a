"""Counts the people of a film by age and mood, without knowing who: python audience.py FILM"""

import sys
from collections import Counter, defaultdict

import mien


def main(film: str) -> None:
    analyzer = mien.Analyzer(only=("age", "gender", "emotion"))
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    ages: dict[int, str] = {}
    for result in analyzer.stream(film):
        for face in result.faces:
            if face.track_id is not None and face.emotion is not None:
                seen[face.track_id][face.emotion] += 1
                ages[face.track_id] = face.age_group or "?"
    print(f"{len(seen)} people")
    for group, count in sorted(Counter(ages.values()).items()):
        print(f"age {group}: {count}")
    moods = Counter(moods.most_common(1)[0][0] for moods in seen.values())
    for mood, count in moods.most_common():
        print(f"mostly {mood}: {count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
