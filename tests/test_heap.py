"""Memory that is freed is used again."""

import platform
import subprocess
import sys

import pytest

PAGES = 20 << 8  # of 4 KB, of 20 MB
TWICE = """
import resource, sys
from mien import heap
if sys.argv[1] == "kept":
    heap.keep_what_is_freed()
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    before = pages()
    bytearray(b"x") * (20 << 20)
    asked = pages() - before
print(asked)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc"
)
@pytest.mark.parametrize(("how", "new"), [("kept", False), ("as it is", True)])
def test_a_second_copy_lies_where_the_first_one_lay(how: str, new: bool) -> None:
    command = [sys.executable, "-c", TWICE, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > PAGES / 2) is new
