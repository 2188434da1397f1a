"""Networks by Keras: frozen, fine-tuned and from nothing; stopped and resumed; exported and used."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mien.errors import InputError, ModelError
from mien.models.classifier import Preprocessing
from mien.models.own import load_own
from mien.pipeline import Analyzer
from mien.train import export, fit
from mien.train.dataset import read_dataset
from mien.train.evaluate import evaluate_file
from mien.train.features import Describer
from mien.train.fit import Options
from mien.train.keras import architectures, backend, learner
from mien.train.learners import NetworkOptions
from mien.types import U8

# Keras loads TensorFlow, which takes six seconds: all here is slow.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("keras") is None, reason="the extra 'train' is not installed"
    ),
]

TINY = NetworkOptions(weights="none", size=64, epochs=2, batch_size=8)


def weights_of(file: Path) -> list[np.ndarray]:
    return [
        numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer
    ]


def same(one: Path, other: Path) -> bool:
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def uninterrupted(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("network") / "moods.onnx"
    return fit.train(
        small, file, Options(architecture="levi_hassner", network=TINY)
    ).file


def test_a_network_from_nothing_becomes_a_file_that_works(
    uninterrupted: Path, astronaut: U8
) -> None:
    (face,) = (
        Analyzer(models={"emotion": uninterrupted}, only=["emotion"], threads=1)
        .analyze(astronaut)
        .faces
    )
    assert face.probs["emotion"].keys() == {"Angry", "Happy"}
    metadata = {
        entry.key: entry.value for entry in onnx.load(uninterrupted).metadata_props
    }
    how = Preprocessing(64, 0.25, [127.5], [64.0], "rgb", "nhwc")
    assert json.loads(metadata["preprocessing"]) == asdict(how)
    assert metadata["architecture"] == "levi_hassner"
    assert "epoch" in uninterrupted.with_suffix(".html").read_text()
    assert not fit.work_folder(uninterrupted).exists()


@pytest.mark.slow(12)
def test_the_same_seed_makes_the_same_weights(
    uninterrupted: Path, small: Path, tmp_path: Path
) -> None:
    again = fit.train(
        small,
        tmp_path / "again.onnx",
        Options(architecture="levi_hassner", network=TINY),
    ).file
    other = fit.train(
        small,
        tmp_path / "other.onnx",
        Options(architecture="levi_hassner", network=TINY, seed=1),
    ).file
    assert same(uninterrupted, again)
    assert not same(uninterrupted, other)


@pytest.mark.slow(12)
def test_stopped_and_resumed_is_as_never_stopped(
    uninterrupted: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = Options(architecture="levi_hassner", network=TINY)
    step, steps = learner._Training.step, iter(range(100))

    def stop(
        self: learner._Training, rows: np.ndarray, rng: np.random.Generator
    ) -> float:
        if next(steps) == 3:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return step(self, rows, rng)

    with monkeypatch.context() as patch:
        patch.setattr(learner._Training, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            fit.train(small, tmp_path / "m.onnx", options)
    assert not (tmp_path / "m.onnx").exists()
    resumed = fit.train(small, tmp_path / "m.onnx", options)
    assert "going on after epoch 1" in caplog.text
    assert same(uninterrupted, resumed.file)


def test_other_options_do_not_take_up_an_old_training(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def stop(self: learner._Training, file: Path) -> None:
        seen.append(file)
        raise KeyboardInterrupt

    monkeypatch.setattr(learner._Training, "resume", stop)
    for network in (
        TINY,
        NetworkOptions(weights="none", size=64, epochs=3, batch_size=16),
    ):
        with pytest.raises(KeyboardInterrupt):
            fit.train(
                small,
                tmp_path / "m.onnx",
                Options(architecture="levi_hassner", network=network),
            )
    assert len(set(seen)) == 2


@pytest.fixture(scope="module")
def mobilenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in for a file of ImageNet weights: the network's own first ones."""
    keras = backend.load_keras()
    keras.utils.set_random_seed(3)
    file = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    architectures.build(
        architectures.ARCHITECTURES["mobilenet_v3"], 64, "none"
    ).save_weights(file)
    return file


@pytest.mark.slow(30)
def test_a_frozen_network_learns_its_last_layer_only(
    small: Path, mobilenet_weights: Path, tmp_path: Path
) -> None:
    network = NetworkOptions(weights=str(mobilenet_weights), size=64)
    trained = fit.train(
        small,
        tmp_path / "m.onnx",
        Options(architecture="mobilenet_v3", network=network),
    )
    describer = Describer.load()
    result = evaluate_file(trained.file, read_dataset(small), describer)
    assert result.measured.labels == ("Angry", "Happy")
    np.testing.assert_allclose(result.measured.probs.sum(axis=1), 1, atol=1e-4)
    assert "penalty" in trained.report.read_text()


def test_fine_tuning_moves_the_last_blocks_only(mobilenet_weights: Path) -> None:
    kind = architectures.ARCHITECTURES["mobilenet_v3"]
    body = architectures.build(kind, 64, str(mobilenet_weights))
    architectures.free_last_blocks(body, kind, 2)
    free = {variable.path.split("/")[0] for variable in body.trainable_variables}
    assert free == {
        "expanded_conv_14_expand",
        "expanded_conv_14_depthwise",
        "expanded_conv_14_project",
        "conv_1",
    } | {name for name in free if name.startswith("expanded_conv_14_squeeze_excite")}
    with pytest.raises(
        InputError, match=r"--fine-tune 99: mobilenet_v3 has \d+ blocks"
    ):
        architectures.free_last_blocks(body, kind, 99)


@pytest.mark.slow(30)
def test_fine_tuning_runs_through(
    small: Path, mobilenet_weights: Path, tmp_path: Path
) -> None:
    network = NetworkOptions(
        weights=str(mobilenet_weights),
        size=64,
        fine_tune=1,
        epochs=1,
        tensorboard=tmp_path / "logs",
    )
    trained = fit.train(
        small,
        tmp_path / "m.onnx",
        Options(architecture="mobilenet_v3", network=network),
    )
    assert load_own(trained.file, "x").labels == ("Angry", "Happy")
    assert list((tmp_path / "logs").iterdir())


@pytest.mark.parametrize(
    "name", ["inception_v3", "mobilenet_v3", "efficientnet_v2_b0", "levi_hassner"]
)
def test_every_network_has_blocks_and_a_least_size(name: str) -> None:
    kind = architectures.ARCHITECTURES[name]
    body = architectures.build(kind, kind.least, "none")
    blocks = architectures.blocks_of(body, kind)
    assert len(blocks) > 4
    assert sum(map(len, blocks)) == sum(bool(layer.weights) for layer in body.layers)


def test_local_response_normalisation_is_caffes() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype(np.float32) * 30
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    sums = sum(squares[..., k : k + 8] for k in range(5))
    expected = x / (1 + 1e-4 / 5 * sums) ** 0.75
    backend.load_keras()
    np.testing.assert_allclose(
        np.asarray(backend.local_response_norm()(x)), expected, rtol=1e-4
    )


def test_weights_that_cannot_be_had(
    small: Path, tmp_path: Path, mobilenet_weights: Path
) -> None:
    def attempt(architecture: str, weights: str, size: int = 96) -> None:
        fit.train(
            small,
            tmp_path / "m.onnx",
            Options(
                architecture=architecture, network=NetworkOptions(weights, size=size)
            ),
        )

    with pytest.raises(InputError, match="no ImageNet weights of levi_hassner"):
        attempt("levi_hassner", "imagenet")
    with pytest.raises(InputError, match="no such file"):
        attempt("mobilenet_v3", str(tmp_path / "nowhere.h5"))
    with pytest.raises(InputError, match="--size 32: inception_v3 needs 75"):
        attempt("inception_v3", "none", 32)
    with pytest.raises(ModelError, match="does not fit efficientnet_v2_b0"):
        attempt("efficientnet_v2_b0", str(mobilenet_weights))
    assert not (tmp_path / "m.onnx").exists()


def test_an_export_that_differs_is_not_written() -> None:
    model = export.backbone_head(
        {"embedding": np.ones((128, 2), np.float32)}, np.array([0, 3], np.float32)
    )
    card = export.Card(("a", "b"), {"reads": "backbone"}, "face", 0, "", "", {})
    with pytest.raises(ModelError, match="differs from the trained one"):
        export.finished(
            model,
            card,
            [np.zeros((1, 128), np.float32)],
            np.array([[0.5, 0.5]], np.float32),
        )


@pytest.mark.slow(60)
def test_inception_v3_from_nothing_runs_through(
    small: Path, tmp_path: Path, astronaut: U8
) -> None:
    network = NetworkOptions(weights="none", size=75, epochs=1)
    trained = fit.train(
        small,
        tmp_path / "m.onnx",
        Options(architecture="inception_v3", network=network),
    )
    (face,) = (
        Analyzer(models={"emotion": trained.file}, only=["emotion"], threads=1)
        .analyze(astronaut)
        .faces
    )
    assert face.probs["emotion"].keys() == {"Angry", "Happy"}
