"""Says whether two photos show one person, and how sure that is: python same_person.py PHOTO PHOTO"""

import sys
from pathlib import Path

import mien


def main(one: str, other: str) -> None:
    analyzer = mien.Analyzer(only=("identity",))
    answer = analyzer.verify(Path(one).read_bytes(), Path(other).read_bytes())
    print("the same person" if answer.same else "two people")
    print(f"distance {answer.distance:.2f}, the limit is {answer.tolerance:.2f}")
    if answer.false_match_rate is not None:
        print(f"{answer.false_match_rate:.4%} of strangers are as near")


if __name__ == "__main__":
    main(*sys.argv[1:])
