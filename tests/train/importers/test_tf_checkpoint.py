"""Checkpoints of rude-carnie's networks, against the TensorFlow graphs that wrote them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_attribute

from mien.errors import InputError, ModelError
from mien.models.attributes.heads import AGE_GROUPS
from mien.models.classifier import Preprocessing, crops_of, feed
from mien.runtime import OnnxModel
from mien.train.importers.model_file import ImportOptions, convert
from mien.train.keras.tf_checkpoint import read_checkpoint
from mien.types import F32

pytestmark = pytest.mark.slow
tf = pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed (pip install mien[train])"
)

from . import tf_networks  # noqa: E402 - it needs TensorFlow

AGE = ImportOptions(labels="age")


def pictures(count: int = 32) -> F32:
    """Noise of different brightness and contrast."""
    random = np.random.default_rng(2)
    noise = random.normal(size=(count, 227, 227, 3)) * random.uniform(
        0.2, 2, (count, 1, 1, 1)
    )
    return (noise + random.normal(size=(count, 1, 1, 3))).astype(np.float32)


def run(data: bytes, x: F32) -> F32:
    model = OnnxModel(data, "imported")
    return np.concatenate([model(x[i : i + 8])[0] for i in range(0, len(x), 8)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, F32]:
    """The folder of a narrow Levi-Hassner checkpoint and what it says of two pictures."""
    folder = tmp_path_factory.mktemp("checkpoints") / "21936"
    network = partial(tf_networks.levi_hassner, classes=8, width=0.05)
    return folder, tf_networks.save(folder, network, pictures(2))


def test_levi_hassner_at_its_full_size(tmp_path: Path) -> None:
    x = pictures()
    reference = tf_networks.save(
        tmp_path, partial(tf_networks.levi_hassner, classes=8), x, slots=True
    )
    data = convert([tmp_path], AGE)
    assert reference.std(axis=0).max() > 0.01, (
        "the network must tell these pictures apart"
    )
    assert np.abs(run(data, x) - reference).max() <= 1e-4
    assert (
        np.abs(run(with_lrn(data, size=5, alpha=1e-4), x[:2]) - reference[:2]).max()
        > 1e-3
    ), "Caffe's is another"


def with_lrn(data: bytes, *, size: int, alpha: float) -> bytes:
    """The network with another local response normalisation."""
    model = onnx.load_from_string(data)
    for node in model.graph.node:
        if node.op_type == "LRN":
            kept = [
                attribute
                for attribute in node.attribute
                if attribute.name not in {"size", "alpha"}
            ]
            del node.attribute[:]
            node.attribute.extend(
                [*kept, make_attribute("size", size), make_attribute("alpha", alpha)]
            )
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("network", "architecture"),
    [
        (
            partial(
                tf_networks.levi_hassner, classes=2, scope="LeviHassnerBN", width=0.1
            ),
            "levi_hassner_bn",
        ),
        (partial(tf_networks.inception, classes=2, width=0.07), "inception"),
    ],
    ids=["levi_hassner_bn", "inception"],
)
def test_networks_with_batch_normalisation(
    tmp_path: Path, network: partial, architecture: str
) -> None:
    x = pictures()
    reference = tf_networks.save(tmp_path, network, x)
    assert reference.std(axis=0).max() > 0.01
    given = convert(
        [tmp_path], ImportOptions(labels="gender", architecture=architecture)
    )
    seen = convert([tmp_path], ImportOptions(labels="gender"))
    assert np.abs(run(given, x) - reference).max() <= 1e-4
    assert given == seen


@pytest.mark.parametrize(
    "name", ["", "checkpoint", "checkpoint-14999", "checkpoint-14999.index"]
)
def test_the_folder_or_one_step_in_it(small: tuple[Path, F32], name: str) -> None:
    folder, reference = small
    data = convert([folder / name], AGE)
    assert np.abs(run(data, pictures(2)) - reference).max() <= 1e-4
    metadata = {
        one.key: one.value for one in onnx.load_from_string(data).metadata_props
    }
    assert json.loads(metadata["labels"]) == list(AGE_GROUPS.labels)
    assert "checkpoint-14999.index" in json.loads(metadata["source_sha256"])


def test_a_folder_that_was_moved(small: tuple[Path, F32], tmp_path: Path) -> None:
    """The state file names the place of long ago."""
    shutil.copytree(small[0], tmp_path / "elsewhere")
    state = (
        (tmp_path / "elsewhere" / "checkpoint")
        .read_text()
        .replace('"checkpoint-', '"/home/long/ago/checkpoint-')
    )
    (tmp_path / "elsewhere" / "checkpoint").write_text(state)
    assert (
        np.abs(
            run(convert([tmp_path / "elsewhere"], AGE), pictures(2)) - small[1]
        ).max()
        <= 1e-4
    )


def test_the_older_form_of_checkpoints(tmp_path: Path) -> None:
    network = partial(tf_networks.levi_hassner, classes=8, width=0.05)
    reference = tf_networks.save(tmp_path, network, pictures(2), version=1)
    assert (tmp_path / "checkpoint-14999").is_file()
    assert np.abs(run(convert([tmp_path], AGE), pictures(2)) - reference).max() <= 1e-4


def test_pictures_are_fed_as_tensorflow_1_fed_them(small: tuple[Path, F32]) -> None:
    """256 by 256 with its corners on corners, the same again to 227, then each standardised."""
    how = read_checkpoint(small[0]).preprocessing
    assert how == Preprocessing(
        size=227,
        padding=0,
        crop="box",
        padding_px=50,
        resize=256,
        sampling="corner",
        standardize=True,
    )
    crop = np.random.default_rng(1).integers(0, 256, (311, 190, 3), dtype=np.uint8)
    resize = tf.compat.v1.image.resize_bilinear
    picture = resize(crop[None, ..., ::-1].astype(np.float32), (256, 256))
    views = [resize(picture, (227, 227))[0]]
    views += [
        picture[0, y : y + 227, x : x + 227]
        for y, x in ((0, 0), (0, 29), (29, 0), (29, 29), (14, 14))
    ]
    twelve = [side for view in views for side in (view, tf.image.flip_left_right(view))]
    expected = np.stack(
        [tf.image.per_image_standardization(view).numpy() for view in twelve]
    )
    ours = feed(crops_of(crop, how, crops=12), how)
    assert ours.shape == (12, 227, 227, 3)
    assert np.abs(ours - expected).max() <= 1e-3
    assert np.array_equal(feed(crops_of(crop, how, crops=1), how)[0], ours[0])


def damage(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


DATA, INDEX = "checkpoint-14999.data-00000-of-00001", "checkpoint-14999.index"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (INDEX, b"a text"),
        (INDEX, np.random.default_rng(0).bytes(4000)),
        (INDEX, b""),
        (INDEX, None),
        (DATA, b"short"),
        (DATA, None),
        ("checkpoint", b"no state at all"),
        ("checkpoint", b"\xff\xfe\xc7 no text"),
        ("checkpoint", None),
    ],
)
def test_damaged_checkpoints_are_named(
    small: tuple[Path, F32], tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(small[0], folder)
    damage(folder, name, content)
    with pytest.raises(ModelError, match="damaged"):
        convert([folder], AGE)


def test_flipped_bits_are_seen(small: tuple[Path, F32], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(small[0], folder)
    content = bytearray((folder / DATA).read_bytes())
    for place in range(0, len(content), 64):
        content[place] ^= 0x55
    (folder / DATA).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        convert([folder], AGE)


@pytest.mark.parametrize("architecture", ["levi_hassner_bn", "inception"])
def test_another_architecture_is_refused(
    small: tuple[Path, F32], architecture: str
) -> None:
    with pytest.raises(
        ModelError, match=r"21936 holds no variable .*it holds LeviHassner"
    ):
        convert([small[0]], ImportOptions(labels="age", architecture=architecture))


def test_an_unknown_architecture_is_refused(small: tuple[Path, F32]) -> None:
    with pytest.raises(InputError, match="levi_hassner_bn"):
        convert([small[0]], ImportOptions(labels="age", architecture="resnet"))


def test_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    network = lambda x: tf_networks.Layers(normalized=False).conv(x, 8, (3, 3), "stem")  # noqa: E731
    tf_networks.save(tmp_path, network, pictures(1))
    with pytest.raises(
        ModelError, match=r"none of rude-carnie's networks: it holds .*stem"
    ):
        convert([tmp_path], AGE)


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    def headless(x: object) -> object:
        with tf.compat.v1.variable_scope("LeviHassner"):
            return tf_networks.Layers(normalized=False, width=0.1).conv(
                x, 96, (7, 7), "conv1", 4, "VALID"
            )

    tf_networks.save(tmp_path, headless, pictures(1))
    with pytest.raises(ModelError, match="holds no variable LeviHassner/conv2/weights"):
        convert([tmp_path], AGE)


def test_from_the_checkpoint_to_a_face(
    small: tuple[Path, F32], tmp_path: Path, astronaut_file: Path
) -> None:
    """`mien models import`, then `mien analyze` with one crop and with twelve."""

    def mien(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "from mien.cli import main; main()",
            *map(str, arguments),
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False
        )

    made = mien(
        "models",
        "import",
        small[0],
        "--labels",
        "age",
        "--output",
        tmp_path / "age.onnx",
    )
    assert (made.returncode, made.stdout.strip()) == (
        0,
        f"{tmp_path / 'age.onnx'}: taken from {small[0]}",
    ), made.stderr
    probs = []
    for crops in (1, 12):
        result = mien(
            "analyze",
            astronaut_file,
            "--only",
            "age",
            "--age-model",
            tmp_path / "age.onnx",
            "--crops",
            crops,
        )
        assert result.returncode == 0, result.stderr
        (face,) = json.loads(result.stdout)["faces"]
        assert list(face["age_group_probs"]) == list(AGE_GROUPS.labels)
        probs.append(list(face["age_group_probs"].values()))
    assert not np.allclose(probs[0], probs[1], atol=1e-4)
    refused = mien(
        "analyze", astronaut_file, "--age-model", tmp_path / "age.onnx", "--crops", 5
    )
    assert refused.returncode == 2
    assert "crops: 1 or 12" in refused.stderr
