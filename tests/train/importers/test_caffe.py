"""Caffe's networks, against a plain re-computation of Caffe's rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mien.errors import InputError, MienError, ModelError
from mien.models.attributes.heads import AGE_GROUPS
from mien.models.classifier import Classifier, bilinear
from mien.runtime import OnnxModel
from mien.train.importers.model_file import ImportOptions, convert
from mien.types import F32

from . import caffe_writer as caffe

LABELS = ImportOptions(labels="gender")


def numbers(*shape: int, scale: float = 1.0, seed: int = 0) -> F32:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def pixels(count: int, side: int) -> F32:
    return (
        np.random.default_rng(5)
        .integers(0, 256, (count, 3, side, side))
        .astype(np.float32)
    )


def layer(name: str, kind: str, bottom: str, top: str, parameters: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {parameters} }}\n'


HEAD = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 33 dim: 33 } } }
"""
SMALL = HEAD + "".join(
    [
        layer("conv1", "Convolution", "data", "conv1", "param { lr_mult: 1 } convolution_param { num_output: 8 pad: 1 "
              'kernel_size: 4 stride: 2 weight_filler { type: "gaussian" std: 0.01 } }'),
        layer("relu1", "ReLU", "conv1", "conv1"),
        layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }"),
        layer("norm1", "LRN", "pool1", "norm1", "lrn_param { local_size: 5 alpha: 0.02 beta: 0.75 k: 2 }"),
        layer("conv2", "Convolution", "norm1", "conv2", "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 3 "
              "pad_h: 1 pad_w: 1 group: 2 bias_term: false }"),
        layer("relu2", "ReLU", "conv2", "conv2", "relu_param { negative_slope: 0.1 }"),
        layer("pool2", "Pooling", "conv2", "pool2", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
        layer("fc3", "InnerProduct", "pool2", "fc3", "inner_product_param { num_output: 10 }"),
        layer("drop3", "Dropout", "fc3", "fc3", "dropout_param { dropout_ratio: 0.5 }"),
        layer("fc4", "InnerProduct", "fc3", "fc4", "inner_product_param { num_output: 2 }"),
        layer("prob", "Softmax", "fc4", "prob"),
    ]
)  # fmt: skip
SMALL_BLOBS = {
    "conv1": [numbers(8, 3, 4, 4, scale=0.02, seed=1), numbers(8, seed=2)],
    "conv2": [numbers(6, 4, 3, 3, scale=0.3, seed=3)],
    "fc3": [numbers(10, 6 * 5 * 5, scale=0.3, seed=4), numbers(10, seed=5)],
    "fc4": [numbers(2, 10, scale=0.04, seed=6), np.array([-3.0, 3.0], np.float32)],
}


def small_reference(x: F32) -> np.ndarray:
    b = SMALL_BLOBS
    y = np.maximum(
        caffe.conv(x.astype(np.float64), b["conv1"][0], b["conv1"][1], stride=2, pad=1),
        0,
    )
    y = caffe.lrn(
        caffe.pool(y, "MAX", kernel=3, stride=2, pad=1),
        size=5,
        alpha=0.02,
        beta=0.75,
        k=2,
    )
    y = caffe.conv(y, b["conv2"][0], None, pad=1, group=2)
    y = caffe.pool(np.where(y > 0, y, 0.1 * y), "AVE", kernel=3, stride=2, pad=1)
    return caffe.softmax(
        caffe.inner_product(caffe.inner_product(y, *b["fc3"]), *b["fc4"])
    )


def written(folder: Path, prototxt: str, caffemodel: bytes) -> list[Path]:
    (folder / "net.prototxt").write_text(prototxt)
    (folder / "net.caffemodel").write_bytes(caffemodel)
    return [folder / "net.prototxt", folder / "net.caffemodel"]


def test_every_layer_kind_computes_what_caffe_computes(tmp_path: Path) -> None:
    files = written(tmp_path, SMALL, caffe.new_caffemodel(SMALL_BLOBS))
    x = pixels(32, 33)
    probs = OnnxModel(convert(files, LABELS), "small")(x)[0]
    reference = small_reference(x)
    assert probs.std(axis=0).min() > 0.01, "the network must tell these pictures apart"
    assert np.abs(probs - reference).max() <= 1e-4


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "pad"),
    [
        (8, 3, 2, 0),
        (7, 3, 2, 1),
        (8, 2, 2, 1),
        (9, 5, 3, 2),
        (7, 2, 3, 0),
        (6, 4, 4, 3),
    ],
)
def test_pooling_rounds_and_clips_as_caffe_does(
    tmp_path: Path, kind: str, side: int, kernel: int, stride: int, pad: int
) -> None:
    head = HEAD.replace("dim: 33 dim: 33", f"dim: {side} dim: {side}")
    how = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    x = numbers(4, 3, side, side)
    expected = caffe.pool(
        x.astype(np.float64), kind, kernel=kernel, stride=stride, pad=pad
    ).reshape(4, -1)
    weights = {
        "fc": [
            np.eye(expected.shape[1], dtype=np.float32),
            np.zeros(expected.shape[1], np.float32),
        ]
    }
    count = expected.shape[1]
    net = head + layer("pool", "Pooling", "data", "pool", how)
    net += layer(
        "fc",
        "InnerProduct",
        "pool",
        "fc",
        f"inner_product_param {{ num_output: {count} }}",
    )
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(count))))
    files = written(tmp_path, net, caffe.new_caffemodel(weights))
    outputs = OnnxModel(
        convert(files, ImportOptions(labels=str(tmp_path / "labels.txt"))), "pool"
    )(x)[0]
    assert np.abs(outputs - expected).max() <= 1e-5


LEVI_HASSNER = """name: "CaffeNet" input: "data" input_dim: 1 input_dim: 3 input_dim: 227 input_dim: 227
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" convolution_param { num_output: 96 kernel_size: 7 stride: 4 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "norm1" type: LRN bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "conv2" type: CONVOLUTION bottom: "norm1" top: "conv2" convolution_param { num_output: 256 pad: 2 kernel_size: 5 } }
layers { name: "relu2" type: RELU bottom: "conv2" top: "conv2" }
layers { name: "pool2" type: POOLING bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "norm2" type: LRN bottom: "pool2" top: "norm2" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "conv3" type: CONVOLUTION bottom: "norm2" top: "conv3" convolution_param { num_output: 384 pad: 1 kernel_size: 3 } }
layers { name: "relu3" type: RELU bottom: "conv3" top: "conv3" }
layers { name: "pool5" type: POOLING bottom: "conv3" top: "pool5" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "fc6" type: INNER_PRODUCT bottom: "pool5" top: "fc6" inner_product_param { num_output: 512 } }
layers { name: "relu6" type: RELU bottom: "fc6" top: "fc6" }
layers { name: "drop6" type: DROPOUT bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc7" type: INNER_PRODUCT bottom: "fc6" top: "fc7" inner_product_param { num_output: 512 } }
layers { name: "relu7" type: RELU bottom: "fc7" top: "fc7" }
layers { name: "drop7" type: DROPOUT bottom: "fc7" top: "fc7" dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc8" type: INNER_PRODUCT bottom: "fc7" top: "fc8" inner_product_param { num_output: 8 } }
layers { name: "prob" type: SOFTMAX bottom: "fc8" top: "prob" }
"""  # noqa: E501
SHAPES = {
    "conv1": (96, 3, 7, 7),
    "conv2": (256, 96, 5, 5),
    "conv3": (384, 256, 3, 3),
    "fc6": (512, 384 * 7 * 7),
    "fc7": (512, 512),
    "fc8": (8, 512),
}
TYPES = {
    name: "Convolution" if name.startswith("conv") else "InnerProduct"
    for name in SHAPES
}


def levi_hassner_reference(
    x: F32, blobs: dict[str, list[F32]], *, alpha: float = 1e-4
) -> np.ndarray:
    y = x
    for name, stride, pad in (("conv1", 4, 0), ("conv2", 1, 2), ("conv3", 1, 1)):
        y = np.maximum(caffe.conv(y, *blobs[name], stride=stride, pad=pad), 0)
        y = caffe.pool(y, "MAX", kernel=3, stride=2)
        y = y if name == "conv3" else caffe.lrn(y, size=5, alpha=alpha, beta=0.75)
    for name in ("fc6", "fc7"):
        y = np.maximum(caffe.inner_product(y, *blobs[name]), 0)
    return caffe.softmax(caffe.inner_product(y, *blobs["fc8"]))


@pytest.mark.slow
def test_the_whole_levi_hassner_net_in_its_old_form_with_its_mean(
    tmp_path: Path,
) -> None:
    scales = {
        "conv1": 0.02,
        "conv2": 0.02,
        "conv3": 0.02,
        "fc6": 0.01,
        "fc7": 0.05,
        "fc8": 0.02,
    }
    blobs = {
        name: [numbers(*shape, scale=scales[name]), numbers(shape[0])]
        for name, shape in SHAPES.items()
    }
    files = written(tmp_path, LEVI_HASSNER, caffe.old_caffemodel(blobs, TYPES))
    mean = np.random.default_rng(1).uniform(70, 120, (3, 256, 256)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(caffe.mean_image(mean))
    model = OnnxModel(
        convert([*files, tmp_path / "mean.binaryproto"], ImportOptions(labels="age")),
        "levi",
    )
    small_mean = bilinear(mean.transpose(1, 2, 0), 227, sampling="centre").transpose(
        2, 0, 1
    )
    x = pixels(32, 227)
    probs = np.concatenate([model(x[i : i + 8])[0] for i in range(0, 32, 8)])
    reference = np.concatenate(
        [
            levi_hassner_reference(x[i : i + 4] - small_mean, blobs)
            for i in range(0, 32, 4)
        ]
    )
    assert probs.std(axis=0).max() > 0.01
    assert np.abs(probs - reference).max() <= 1e-4
    undivided = levi_hassner_reference(x[:2] - small_mean, blobs, alpha=5e-4)
    assert np.abs(probs[:2] - undivided).max() > 1e-3, (
        "TensorFlow's normalisation must give something else"
    )


def test_what_the_model_file_carries(tmp_path: Path) -> None:
    files = written(tmp_path, SMALL, caffe.new_caffemodel(SMALL_BLOBS))
    output = tmp_path / "gender.onnx"
    output.write_bytes(
        convert(files, ImportOptions(labels="gender", licence="for research only"))
    )
    stage = Classifier.load(output, "gender")
    assert stage.labels == ("male", "female")
    assert (
        stage.preprocessing.channels,
        stage.preprocessing.layout,
        stage.preprocessing.size,
    ) == ("bgr", "nchw", 33)
    metadata = stage.model.metadata
    assert metadata["licence"] == "for research only"
    assert metadata["source"] == "Caffe: net.prototxt, net.caffemodel"
    assert set(json.loads(metadata["source_sha256"])) == {
        "net.prototxt",
        "net.caffemodel",
    }


GOOD = caffe.new_caffemodel(SMALL_BLOBS)
WRONG_SHAPE = caffe.new_caffemodel({**SMALL_BLOBS, "conv2": [numbers(6, 8, 3, 3)]})
LACKING = caffe.new_caffemodel(
    {name: blobs for name, blobs in SMALL_BLOBS.items() if name != "fc4"}
)
DAMAGED = [
    (SMALL, GOOD[: len(GOOD) // 2], r"net\.caffemodel is damaged"),
    (SMALL, np.random.default_rng(0).bytes(5000), r"net\.caffemodel"),
    (SMALL, b"not a network at all\n" * 100, r"net\.caffemodel"),
    (SMALL, b"", r"net\.caffemodel holds no weights"),
    (SMALL, WRONG_SHAPE, r"net\.caffemodel does not belong .* conv2"),
    (SMALL, LACKING, r"net\.caffemodel does not belong .* fc4"),
    ("", GOOD, r"net\.prototxt holds no layers"),
    ("a letter to a friend", GOOD, r"net\.prototxt is no Caffe prototxt"),
    (
        SMALL.replace("Input", "Data"),
        GOOD,
        r"net\.prototxt says no input .* deploy prototxt",
    ),
    (
        SMALL.replace('"ReLU"', '"Swish"'),
        GOOD,
        r"net\.prototxt: layer 'relu1' is a Swish",
    ),
    (
        SMALL.replace('bottom: "norm1"', 'bottom: "norm9"'),
        GOOD,
        r"net\.prototxt: layer 'conv2' reads 'norm9'",
    ),
    (
        SMALL.replace("kernel_size: 4", "kernel_size: 99"),
        GOOD,
        r"net\.prototxt: layer 'conv1' has kernel",
    ),
    (
        LEVI_HASSNER.replace("LRN", "MVN"),
        GOOD,
        r"net\.prototxt: layer 'norm1' is a MVN|does not belong",
    ),
]


@pytest.mark.parametrize(("prototxt", "caffemodel", "reason"), DAMAGED)
def test_damaged_and_foreign_files_are_named(
    tmp_path: Path, prototxt: str, caffemodel: bytes, reason: str
) -> None:
    files = written(tmp_path, prototxt, caffemodel)
    with pytest.raises(ModelError, match=reason):
        convert(files, LABELS)


@pytest.mark.parametrize(
    "names",
    [
        ("net.prototxt",),
        ("net.caffemodel",),
        ("net.prototxt", "net.caffemodel", "x.pb"),
    ],
)
def test_files_that_are_not_one_network_are_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    written(tmp_path, SMALL, GOOD)
    with pytest.raises(InputError):
        convert([tmp_path / name for name in names], LABELS)


@pytest.mark.parametrize("labels", [None, "age", "missing.txt"])
def test_labels_must_be_known_and_as_many_as_the_network_has(
    tmp_path: Path, labels: str | None
) -> None:
    assert len(AGE_GROUPS.labels) == 8
    with pytest.raises(InputError, match="label"):
        convert(written(tmp_path, SMALL, GOOD), ImportOptions(labels=labels))


@pytest.mark.parametrize(
    "mean", [b"text of no meaning", caffe.mean_image(numbers(1, 33, 33)), b""]
)
def test_a_mean_that_does_not_fit_is_refused(tmp_path: Path, mean: bytes) -> None:
    (tmp_path / "mean.binaryproto").write_bytes(mean)
    with pytest.raises(MienError, match=r"mean\.binaryproto"):
        convert(
            [*written(tmp_path, SMALL, GOOD), tmp_path / "mean.binaryproto"], LABELS
        )
