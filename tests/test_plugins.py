"""A stranger's package (tests/plugin) adds one of each kind, with no edit in `src`."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from fastapi.testclient import TestClient

import mien
from commands import Inside
from mien import plugins
from mien.errors import InputError, PluginError, SourceError
from mien.output.drawing import label_lines
from mien.server.app import create_app
from mien.server.settings import ServerSettings
from mien.types import U8
from train.pictures import picture

PACKAGE = Path(__file__).with_name("plugin")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, installed by pip without a network."""
    place = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [*pip, "--target", str(place), str(PACKAGE)], check=True, timeout=120
    )
    return place


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv(plugins.OFF, raising=False)
    plugins._of_packages.cache_clear()
    yield
    plugins._of_packages.cache_clear()


def test_what_is_installed_is_not_looked_through_for_parts_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads a file of every package, at every start."""

    def read(**_: str) -> NoReturn:
        raise AssertionError("looked through what is installed")

    monkeypatch.delenv(plugins.OFF, raising=False)
    monkeypatch.setattr(importlib.metadata, "entry_points", read)
    for group, names in plugins.OURS.items():
        for name in names:
            part = plugins.named(group, name)
            assert part is not None
            assert part.package == plugins.OWN


@pytest.fixture
def photo(tmp_path: Path, astronaut: U8) -> Path:
    from mien.media.images import write_image

    write_image(tmp_path / "astronaut.png", astronaut)
    return tmp_path / "astronaut.png"


@pytest.fixture(scope="module")
def run_mien(site: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: str) -> str:
        code = f"import sys; sys.path.insert(0, {str(site)!r}); from mien.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_an_attribute_goes_through_everything_that_tells_of_faces(
    astronaut: U8,
) -> None:
    analyzer = mien.Analyzer(attributes=["glasses"], threads=1)
    assert analyzer.parts == ("identity", "age", "gender", "emotion", "glasses")
    (face,) = analyzer.analyze(astronaut).faces
    assert face["glasses"] in {"no", "yes"}
    assert label_lines(face)[-1].split(", ")[-1].startswith("glasses ")
    for result in list(_frames(analyzer, astronaut)):
        assert "glasses" in result.faces.attributes


def _frames(analyzer: mien.Analyzer, image: U8) -> Iterator[mien.FrameResult]:
    session = analyzer.session()
    for i in range(3):
        yield session.step(mien.Frame(image, i, i / 25))


@pytest.mark.usefixtures("installed")
def test_only_what_is_named_is_computed(astronaut: U8) -> None:
    (face,) = mien.Analyzer(only=["glasses"], threads=1).analyze(astronaut).faces
    assert set(face.attributes) == {"glasses"}
    with pytest.raises(InputError, match="'hats' is not a part or an attribute"):
        mien.Analyzer(only=["hats"])


@pytest.mark.usefixtures("installed")
def test_a_broken_part_is_named_and_the_rest_works() -> None:
    with pytest.raises(
        PluginError,
        match=r"'broken' \(mien.attributes\) of the package mien-plugin-for-tests",
    ):
        mien.Analyzer(attributes=["broken"])
    assert {"glasses", "broken"} <= plugins.found(plugins.ATTRIBUTES).keys()


def test_plugins_can_be_turned_off(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "glasses" in plugins.found(plugins.ATTRIBUTES)
    monkeypatch.setenv(plugins.OFF, "1")
    assert "glasses" not in plugins.found(plugins.ATTRIBUTES)
    assert "jsonl" in plugins.found(plugins.FORMATS)


@pytest.mark.usefixtures("installed")
def test_a_detector_a_source_and_a_gallery_of_a_package(photo: Path) -> None:
    analyzer = mien.Analyzer(
        gallery="memory://", detector="centre", only=["identity"], threads=1
    )
    assert analyzer.gallery is not None
    analyzer.gallery.enroll("Ada Lovelace", [analyzer.photo(photo.read_bytes())])
    (face,) = analyzer.analyze(photo).faces
    assert (face.name, face.distance) == ("Ada Lovelace", pytest.approx(0, abs=1e-3))
    results = list(analyzer.stream(f"still://{photo}"))
    assert [result.index for result in results] == [0, 1, 2]


@pytest.mark.usefixtures("installed")
def test_an_embedder_of_a_package_names_faces_in_photos_and_streams(
    photo: Path, people: Path
) -> None:
    analyzer = mien.Analyzer(
        gallery=people, embedder="projection", only=["identity", "age"], threads=1
    )
    assert (analyzer.space.size, analyzer.tolerance) == (512, 0.2)
    (face,) = analyzer.analyze(photo).faces
    assert (face.name, face.distance) == ("Ada Lovelace", pytest.approx(0, abs=1e-3))
    assert face.embedding is not None
    assert face.embedding.shape == (512,)
    assert face.age is not None
    named = [
        result.faces[0].name
        for result in analyzer.stream(f"still://{photo}")
        if len(result.faces)
    ]
    assert named[-1] == "Ada Lovelace"


@pytest.mark.usefixtures("installed")
def test_an_embedder_of_a_package_in_batch(photo: Path, tmp_path: Path) -> None:
    from mien.batch.analysis import ShardAnalyzer, models_text
    from mien.batch.dataset import Archive
    from mien.batch.inputs import find_all

    choices = {"embedder": "projection", "only": ("identity",)}
    outcome = ShardAnalyzer(choices)(tuple(find_all([str(photo)])[0]))
    with Archive.writing(tmp_path / "out", {"models": models_text(choices)}) as archive:
        archive.commit(outcome)
    faces = Archive.open(tmp_path / "out").table("faces")
    assert len(faces["embedding"][0].as_py()) == 512
    assert (
        json.loads(faces.schema.metadata[b"mien.embedding_space"])["metric"] == "cosine"
    )
    assert "projection@mien-plugin-for-tests-1.0" in faces["models"][0].as_py()


@pytest.fixture
def people(tmp_path: Path, photo: Path) -> Path:
    """A folder gallery of one."""
    place = tmp_path / "people"
    place.mkdir()
    (place / "Ada Lovelace.png").write_bytes(photo.read_bytes())
    return place


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_an_embedder_of_a_package_names_faces_over_http(
    photo: Path, people: Path, tmp_path: Path
) -> None:
    analyzer = mien.Analyzer(
        gallery=people, embedder="projection", only=["identity"], threads=1
    )
    app = create_app(ServerSettings(data=tmp_path / "data"), analyzer)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        files = {"file": ("a.png", photo.read_bytes())}
        (face,) = client.post("/v1/analyze", files=files).json()["faces"]
        assert face["name"] == "Ada Lovelace"
        assert face["distance"] == pytest.approx(0, abs=1e-3)


@pytest.mark.usefixtures("installed")
def test_an_embedder_of_a_package_in_live(
    inside: Inside, photo: Path, people: Path
) -> None:
    told = inside(
        "live",
        f"still://{photo}",
        "--no-window",
        "--stats",
        "--embedder",
        "projection",
        "--only",
        "identity",
        "--gallery",
        people,
    )
    assert told.returncode == 0, told.stderr
    stats = json.loads(told.stdout)
    assert (stats["frames"], stats["faces"]) == (3, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_our_own_parts_stand_in_the_same_table(photo: Path, astronaut: U8) -> None:
    from mien.cli import _COMMANDS
    from mien.models.embedders import load_embedder

    assert set(_COMMANDS) < set(plugins.found(plugins.COMMANDS))
    assert {"still", "http", "rtsp"} < set(plugins.found(plugins.SOURCES))
    with pytest.raises(SourceError, match="camera addresses are not supported"):
        mien.open_source("camera://0")
    (face,) = mien.Analyzer(only=["identity"], threads=1).analyze(astronaut).faces
    dlib = load_embedder("dlib_resnet")
    faces = mien.Analyzer(only=["age"], threads=1).detector(astronaut)
    rows = dlib(astronaut, faces).embeddings
    assert rows is not None
    np.testing.assert_allclose(rows[0], face.embedding, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_networks_of_a_package_are_taken_over(tmp_path: Path) -> None:
    from mien.models.own import load_own
    from mien.train.importers.model_file import ImportOptions, convert, is_foreign

    (tmp_path / "moods.softmax").write_text("0.75 0.25")
    (tmp_path / "labels.txt").write_text("calm\nwild\n")
    files = [tmp_path / "moods.softmax", tmp_path / "labels.txt"]
    assert is_foreign(files)
    (tmp_path / "moods.onnx").write_bytes(convert(files, ImportOptions()))
    own = load_own(tmp_path / "moods.onnx", "moods")
    assert own.labels == ("calm", "wild")
    assert not is_foreign([tmp_path / "moods.onnx"])


@pytest.mark.slow
def test_an_architecture_of_a_package_is_trained(run_mien, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for mood in ("Happy", "Angry"):
        (tmp_path / "moods" / mood).mkdir(parents=True)
        for number in range(5):
            file = tmp_path / "moods" / mood / f"{number}.jpg"
            file.write_bytes(picture(mood, number))
    told = run_mien(
        "train",
        str(tmp_path / "moods"),
        "--architecture",
        "prior",
        "--output",
        str(tmp_path / "moods.onnx"),
        "--json",
    )
    assert json.loads(told)["pictures"] > 0
    from mien.models.own import load_own

    assert set(load_own(tmp_path / "moods.onnx", "moods").labels) == {"Happy", "Angry"}


@pytest.mark.usefixtures("installed")
def test_routes_of_a_package(tmp_path: Path) -> None:
    settings = ServerSettings(data=tmp_path)
    app = create_app(settings, mien.Analyzer(only=["age"], threads=1))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/plugin/hello").json() == {"hello": "faces"}
        assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "table"])
def test_every_format_tells_it(run_mien, photo: Path, kind: str) -> None:  # type: ignore[no-untyped-def]
    text = run_mien("analyze", str(photo), "--attributes", "glasses", "--format", kind)
    if kind == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["glasses"] in {"no", "yes"}
    elif kind == "table":
        assert "glasses" in text.splitlines()[0]
    else:
        record = json.loads(text)
        (face,) = (record[0] if kind == "json" else record)["faces"]
        assert set(face["glasses_probs"]) == {"no", "yes"}
        assert isinstance(face["glasses_sure"], bool)


@pytest.mark.slow
def test_a_format_and_a_command_of_a_package(
    run_mien, photo: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    run_mien("analyze", str(photo), "--output", str(tmp_path / "faces.counts"))
    assert (tmp_path / "faces.counts").read_text() == f"{photo}: 1\n"
    assert run_mien("count", str(photo)) == "1\n"
    assert "count" in run_mien("--help")


@pytest.mark.slow
def test_parquet_batch_and_report_tell_it(
    run_mien, photo: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    import pyarrow.parquet as pq

    run_mien(
        "analyze",
        str(photo),
        "--attributes",
        "glasses",
        "--output",
        str(tmp_path / "faces.parquet"),
    )
    assert {"glasses", "glasses_probs", "glasses_sure"} <= set(
        pq.read_schema(tmp_path / "faces.parquet").names
    )
    run_mien(
        "batch",
        str(photo),
        "--output",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "--attributes",
        "glasses",
    )
    report = json.loads(run_mien("report", str(tmp_path / "out"), "--format", "json"))
    assert report["glasses"]["counts"] == [[1]]
    assert "<h2>Glasses</h2>" in run_mien("report", str(tmp_path / "out"))


def test_an_attribute_of_a_name_that_is_taken_is_refused() -> None:
    from mien.models.attributes.heads import GENDER

    class Again:
        attributes = (GENDER,)

        def __call__(self, image: U8, faces: mien.Faces) -> mien.Faces:
            return faces

    with pytest.raises(InputError, match="gender is told by two models"):
        mien.Analyzer(attributes=[Again()])
    with pytest.raises(InputError, match="something else"):
        mien.Analyzer(models={"box": Path("no.onnx")})


def test_scores_of_a_plain_number_are_told_too() -> None:
    yaw = mien.Attribute("yaw", unit="degrees")
    faces = mien.Faces.empty().with_attributes(
        mien.Scores(yaw, np.zeros((0, 1), np.float32))
    )
    assert list(faces.attributes) == ["yaw"]
