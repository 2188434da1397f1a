"""Embedders of ArcFace's kind: rows of the zoo, files that were taken in, through the analyzer and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import mien
from mien import geometry, store, zoo
from mien.cli.models import models_app
from mien.errors import EmbedderMismatch, InputError, ModelError
from mien.media import images
from mien.models import embedders
from mien.models.embedders import (
    about,
    load_embedder,
    made_of,
    prepared,
    space_of,
    take_in,
)
from mien.runtime import OnnxModel
from mien.types import U8, Faces
from mien.zoo import ARCFACE_POINTS, DLIB, FaceCrop

COSINE = {"metric": "cosine", "tolerance": 0.6}


def network(numbers: int = 24, *, faces: int | str = 1) -> bytes:
    """A projection of the crop, 4x4 pixels at a time, exported for so many faces."""
    axes = np.random.default_rng(0).normal(size=(numbers, 3, 28, 28)).astype(np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", ["crop"], ["small"], kernel_shape=[4, 4], strides=[4, 4]
        ),
        helper.make_node("Conv", ["small", "axes"], ["map"]),
        helper.make_node("Flatten", ["map"], ["descriptor"]),
    ]
    crop = helper.make_tensor_value_info(
        "crop", TensorProto.FLOAT, [faces, 3, 112, 112]
    )
    out = helper.make_tensor_value_info(
        "descriptor", TensorProto.FLOAT, [faces, numbers]
    )
    graph = helper.make_graph(
        nodes, "projection", [crop], [out], [numpy_helper.from_array(axes, "axes")]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return bytes(model.SerializeToString())


def test_a_crop_lies_on_its_template_in_the_order_of_its_channels(
    astronaut: U8,
) -> None:
    five = np.array(ARCFACE_POINTS, np.float32)[None] * 1.5 + np.array(
        [30, 10], np.float32
    )
    image = np.full((260, 260, 3), (10, 20, 30), np.uint8)
    x, y = five[0, 2].round().astype(int)
    image[y - 2 : y + 3, x - 2 : x + 3] = (0, 0, 255)
    seen = prepared(image, five, FaceCrop(mean=100, scale=0.5))
    assert seen.shape == (1, 3, 112, 112)
    at_x, at_y = (round(v) for v in ARCFACE_POINTS[2])
    assert seen[0, 0, at_y, at_x] > 70  # red comes first
    assert seen[0, :, 5, 5].tolist() == [-35, -40, -45]
    assert prepared(image, five, FaceCrop(channels="bgr", mean=0, scale=1))[
        0, :, 5, 5
    ].tolist() == [10, 20, 30]
    assert geometry.similarity(five, np.array(ARCFACE_POINTS, np.float32)).shape == (
        1,
        2,
        3,
    )


@pytest.mark.parametrize("faces", [1, "n"])
def test_what_was_taken_in_says_what_it_is(faces: int | str) -> None:
    data = take_in(network(faces=faces), "mine", FaceCrop(), COSINE, licence="MIT")
    model = OnnxModel(data, "mine")
    space, crop = about(model)
    assert (space.size, space.metric, space.tolerance, crop) == (
        24,
        "cosine",
        0.6,
        FaceCrop(),
    )
    assert space.name.startswith("mine-")
    assert 0 < space.duplicate < space.linkage < space.tolerance
    assert model.metadata["licence"] == "MIT"


@pytest.mark.parametrize(
    ("data", "bounds", "words"),
    [
        (b"no network", COSINE, "not a network"),
        (network(), {**COSINE, "metric": "manhattan"}, "manhattan"),
        (network(), {**COSINE, "tolerance": 0.0}, "above 0"),
        (network(faces=3), COSINE, "3 faces at a time"),
    ],
)
def test_what_cannot_be_an_embedder_is_refused(
    data: bytes, bounds: dict[str, object], words: str
) -> None:
    with pytest.raises(mien.MienError, match=words):
        take_in(data, "mine", FaceCrop(), bounds, licence="")


def test_files_that_do_not_say_what_they_are_and_names_that_are_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "bare.onnx").write_bytes(network())
    with pytest.raises(ModelError, match="--as embedder"):
        load_embedder(str(tmp_path / "bare.onnx"))
    with pytest.raises(ModelError, match="cannot read"):
        load_embedder(str(tmp_path / "none.onnx"))
    for ask in (load_embedder, made_of, space_of):
        with pytest.raises(InputError, match="did you mean"):
            ask("dlib_resnett")
    with pytest.raises(InputError, match="no embedder"):
        mien.Analyzer(embedder="compact")


@pytest.mark.slow
def test_an_imported_embedder_names_faces_and_its_gallery_refuses_others(
    tmp_path: Path, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    file, place = tmp_path / "projection.onnx", tmp_path / "people.db"
    file.write_bytes(network())
    done = CliRunner().invoke(
        models_app, ["import", str(file), "--as", "embedder", "--tolerance", "0.3"]
    )
    assert done.exit_code == 0, done.output
    assert [one.stem for one in embedders.own_files()] == ["projection"]
    listed = json.loads(CliRunner().invoke(models_app, ["--json"]).output)
    assert [row["source"] for row in listed if row["name"] == "projection"] == [
        str(embedders.own_files()[0])
    ]
    images.write_image(tmp_path / "ada.png", astronaut)
    place.touch()
    analyzer = mien.Analyzer(
        place, embedder="projection", only=["identity", "age"], threads=1
    )
    assert analyzer.gallery is not None
    analyzer.gallery.enroll(
        "Ada", [analyzer.photo((tmp_path / "ada.png").read_bytes())]
    )
    (face,) = analyzer.analyze(astronaut).faces
    assert (face.name, face.distance) == ("Ada", pytest.approx(0, abs=1e-4))
    assert face.embedding is not None
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-4)
    (usual,) = mien.Analyzer(only=["age"], threads=1).analyze(astronaut).faces
    assert face.age == pytest.approx(
        usual.age, abs=1.5
    )  # the old heads read their own backbone
    session = analyzer.session()
    for i in range(8):
        result = session.step(mien.Frame(astronaut, i, i / 10))
    assert result.faces[0].name == "Ada"
    with pytest.raises(EmbedderMismatch, match=r"projection-[0-9a-f]{8}"):
        mien.Analyzer(place)


def test_options_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    file = tmp_path / "net.onnx"
    file.write_bytes(network())
    usage = [
        (["--as", "detector"], "--as detector is unknown"),
        (["--as", "embedder"], "--tolerance"),
        (
            ["--as", "embedder", "--tolerance", "0.5", "--template", "1,2 3"],
            "five points",
        ),
        (
            ["--as", "embedder", "--tolerance", "0.5", "--channels", "grey"],
            "rgb or bgr",
        ),
        (
            ["--as", "embedder", "--tolerance", "0.5", "--name", "sface"],
            "another embedder",
        ),
    ]
    for arguments, words in usage:
        done = CliRunner().invoke(models_app, ["import", str(file), *arguments])
        assert words in str(done.exception), arguments
    assert embedders.own_files() == []


def test_nobody_is_nobody() -> None:
    data = take_in(network(), "mine", FaceCrop(), COSINE, licence="")
    embedder = embedders.CropEmbedder(
        OnnxModel(data, "mine"), *about(OnnxModel(data, "mine"))
    )
    assert embedder(np.zeros((9, 9, 3), np.uint8), Faces.empty()).embeddings.shape == (
        0,
        24,
    )  # type: ignore[union-attr]


def test_sface_is_a_row_of_the_zoo() -> None:
    spec = zoo.spec_of("sface")
    assert space_of("sface").tolerance == pytest.approx(1 - 0.363)
    assert space_of("dlib_resnet") is DLIB
    try:
        store.path_of(spec)
    except ModelError as exc:
        pytest.skip(str(exc))
    assert load_embedder("sface").space == spec.space


def test_a_real_network_tells_people_apart(
    shared: Path, tmp_path: Path, astronaut: U8
) -> None:
    """MobileFaceNet: the same face smaller and darker is near, another person's is not."""
    bounds = {"metric": "cosine", "tolerance": 0.5}
    data = take_in(
        (shared / "weights" / "mobilefacenet.onnx").read_bytes(),
        "small",
        FaceCrop(),
        bounds,
        licence="",
    )
    (tmp_path / "small.onnx").write_bytes(data)
    analyzer = mien.Analyzer(
        embedder=str(tmp_path / "small.onnx"), only=["identity"], threads=1
    )
    other = images.read_image(shared / "faults" / "sunglasses-person.jpg")
    dark = (geometry.shrink(astronaut, 0.6) * 0.7).astype(np.uint8)
    rows = [
        analyzer.analyze(image).faces.embeddings[0]
        for image in (astronaut, dark, other)
    ]  # type: ignore[index]
    assert onnx.load_model_from_string(data).ir_version > 0
    assert 1 - rows[0] @ rows[1] < 0.2
    assert 1 - rows[0] @ rows[2] > 0.6
