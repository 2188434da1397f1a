"""What is said where TensorFlow is not installed, and by the command where its arguments do not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mien.errors import ModelError
from mien.train.importers.model_file import ImportOptions, convert

from . import caffe_writer as caffe
from .test_caffe import GOOD, SMALL, written


def test_checkpoints_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModelError, match=r"pip install 'mien\[train\]'"):
        convert([tmp_path], ImportOptions(labels="age"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["net.prototxt", "net.caffemodel", "--labels", "gender"],
            "--output FILE.onnx",
        ),
        (
            [
                "net.prototxt",
                "net.caffemodel",
                "--labels",
                "gender",
                "--output",
                "x.pb",
            ],
            "--output FILE.onnx",
        ),
        (
            ["net.prototxt", "net.caffemodel", "--labels", "age", "--output", "x.onnx"],
            "there are 8 labels",
        ),
        (
            [
                "net.prototxt",
                "half.caffemodel",
                "--labels",
                "gender",
                "--output",
                "x.onnx",
            ],
            "half.caffemodel is damaged",
        ),
        (["nowhere.bin", "--output", "x.onnx"], "give the files of one network"),
        (["nowhere.bin"], "cannot read nowhere.bin"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    written(tmp_path, SMALL, GOOD)
    (tmp_path / "half.caffemodel").write_bytes(
        caffe.new_caffemodel({})[:3] + GOOD[: len(GOOD) // 2]
    )
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        "models",
        "import",
        *arguments,
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not (tmp_path / "x.onnx").exists()
