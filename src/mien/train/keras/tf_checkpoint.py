"""TensorFlow 1 checkpoints of rude-carnie: the Levi-Hassner nets and slim's Inception v3, each with a head.

A checkpoint holds variables only; the graph is laid here by their names. Reading one needs TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import InputError, ModelError
from mien.graph import INPUT, Graph
from mien.installs import lacking
from mien.models.classifier import Preprocessing
from mien.onnx_files import Message
from mien.train.importers.network import ImportedNetwork
from mien.types import F32

SIDE = 227
_EPSILON = 1e-3  # of batch normalisation, in all of rude-carnie's nets
_PREPROCESSING = Preprocessing(
    size=SIDE,
    padding=0,
    layout="nhwc",
    crop="box",
    padding_px=50,
    resize=256,
    sampling="corner",
    standardize=True,
)

_Block = Sequence[
    Sequence[str]
]  # branches of layers; "a+b" are two layers side by side on the same input
_5: _Block = (
    ("Conv2d_0a_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_5x5"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
    ("average", "Conv2d_0b_1x1"),
)
_6: _Block = (
    ("Conv2d_0a_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1"),
    (
        "Conv2d_0a_1x1",
        "Conv2d_0b_7x1",
        "Conv2d_0c_1x7",
        "Conv2d_0d_7x1",
        "Conv2d_0e_1x7",
    ),
    ("average", "Conv2d_0b_1x1"),
)
_7_ENDS: _Block = (
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_1x3+Conv2d_0d_3x1"),
    ("average", "Conv2d_0b_1x1"),
)
# slim's inception_v3_base, with its slips of names. "/2" halves, without padding.
_INCEPTION: Mapping[str, _Block] = {
    "Mixed_5b": _5,
    "Mixed_5c": (_5[0], ("Conv2d_0b_1x1", "Conv_1_0c_5x5"), *_5[2:]),
    "Mixed_5d": _5,
    "Mixed_6a": (
        ("Conv2d_1a_1x1/2",),
        ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_1x1/2"),
        ("maximum/2",),
    ),
    "Mixed_6b": _6,
    "Mixed_6c": _6,
    "Mixed_6d": _6,
    "Mixed_6e": _6,
    "Mixed_7a": (
        ("Conv2d_0a_1x1", "Conv2d_1a_3x3/2"),
        ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1", "Conv2d_1a_3x3/2"),
        ("maximum/2",),
    ),
    "Mixed_7b": (
        ("Conv2d_0a_1x1",),
        ("Conv2d_0a_1x1", "Conv2d_0b_1x3+Conv2d_0b_3x1"),
        *_7_ENDS,
    ),
    "Mixed_7c": (
        ("Conv2d_0a_1x1",),
        ("Conv2d_0a_1x1", "Conv2d_0b_1x3+Conv2d_0c_3x1"),
        *_7_ENDS,
    ),
}


def read_files(
    files: Sequence[Path], architecture: str | None = None
) -> ImportedNetwork:
    """The network of a checkpoint's folder, or of one step in it."""
    (place,) = files
    return read_checkpoint(place, architecture)


def read_checkpoint(place: Path, architecture: str | None = None) -> ImportedNetwork:
    """The network of a checkpoint: its folder (with the state file `checkpoint`), or the path of one step in it.

    Args:
        place: The folder, "FOLDER/checkpoint-14999" or one of that step's files.
        architecture: "levi_hassner", "levi_hassner_bn" or "inception"; None: told by the names of the variables.

    Raises:
        ModelError: TensorFlow is missing, or the checkpoint is damaged, foreign or of another architecture.
        InputError: The architecture is unknown.
    """
    prefix = _prefix(place)
    with _understood(prefix):
        variables = Variables(place, _tensorflow().train.load_checkpoint(prefix))
    name = architecture or variables.architecture()
    if name not in ARCHITECTURES:
        raise InputError(
            f"--architecture takes {', '.join(ARCHITECTURES)}, got {name!r}"
        )
    scope, build = ARCHITECTURES[name]
    graph = build(replace(variables, scope=scope))
    return ImportedNetwork(
        graph, _PREPROCESSING, f"TensorFlow checkpoint ({name})", _files_of(prefix)
    )


def _files_of(prefix: str) -> tuple[Path, ...]:
    """The files of one step: one in the old form, an index and its data in the newer one."""
    path = Path(prefix)
    return (
        (path,) if path.is_file() else tuple(sorted(path.parent.glob(f"{path.name}.*")))
    )


def _tensorflow() -> Any:
    """TensorFlow, without its news on stderr; only its reader is used, so that nothing hangs on its kernels."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow
    except ImportError as exc:
        raise ModelError(
            lacking("reading a TensorFlow checkpoint", "TensorFlow", "train")
        ) from exc
    return tensorflow


def _prefix(place: Path) -> str:
    """What TensorFlow calls the checkpoint: the path of a step without endings."""
    if place.is_file() and place.name == "checkpoint":
        place = place.parent
    if place.is_dir():
        with _understood(place):
            state = _tensorflow().train.get_checkpoint_state(str(place))
        if state is None:
            raise ModelError(
                f"{place} holds no checkpoint: the state file 'checkpoint' is missing or cannot be read"
            )
        return str(
            place / Path(state.model_checkpoint_path).name
        )  # the state file may name a folder of long ago
    return (
        str(place.with_suffix(""))
        if place.suffix.startswith((".index", ".meta", ".data-"))
        else str(place)
    )


@contextmanager
def _understood(place: object) -> Iterator[None]:
    """TensorFlow's errors as ours."""
    errors = (_tensorflow().errors.OpError, ValueError, RuntimeError, IndexError)
    try:
        yield
    except errors as exc:
        reason = str(exc).strip().partition("\n")[0]
        raise ModelError(
            f"{place} is damaged or no TensorFlow checkpoint: {reason}"
        ) from exc


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of a checkpoint, below one scope; read when asked for."""

    place: Path
    reader: Any
    scope: str = ""

    def __call__(self, name: str, dimensions: int) -> F32:
        """A variable of so many dimensions.

        Raises:
            ModelError: It is not there, damaged, or has other dimensions.
        """
        value, full = self.get(name), self._full(name)
        if value is None:
            raise ModelError(
                f"{self.place} holds no variable {full}: it is of another architecture (it holds "
                f"{', '.join(self.scopes()) or 'nothing'}); --architecture takes {', '.join(ARCHITECTURES)}"
            )
        if value.ndim != dimensions:
            raise ModelError(
                f"{self.place}: {full} has the shape {value.shape}, {dimensions} dimensions expected"
            )
        return value

    def get(self, name: str) -> F32 | None:
        """A variable, or None where it is not there."""
        if not self.reader.has_tensor(self._full(name)):
            return None
        with _understood(self.place):
            return np.asarray(
                self.reader.get_tensor(self._full(name)), dtype=np.float32
            )

    def scopes(self) -> list[str]:
        """The outermost scopes there are."""
        return sorted(
            {name.partition("/")[0] for name in self.reader.get_variable_to_shape_map()}
        )

    def _full(self, name: str) -> str:
        return name if name.startswith("output/") else f"{self.scope}/{name}"

    def architecture(self) -> str:
        """Which network it is, by the scope of its variables."""
        scopes = self.scopes()
        for name, (scope, _) in ARCHITECTURES.items():
            if scope in scopes:
                return name
        raise ModelError(
            f"{self.place} is none of rude-carnie's networks: it holds {', '.join(scopes) or 'nothing'}"
        )


class _CheckpointGraph(Graph):
    """Lays layers by the names of their variables; values are (N, C, H, W)."""

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        self.variables = variables

    def conv(
        self, x: str, scope: str, *, stride: int = 1, padding: str = "SAME"
    ) -> str:
        """A convolution, its batch normalisation if it has one (else its bias), ReLU."""
        weights = self.variables(f"{scope}/weights", 4)
        normalized = self.variables.get(f"{scope}/BatchNorm/moving_mean") is not None
        bias = [] if normalized else [self.weight(self.variables(f"{scope}/biases", 1))]
        auto = {"SAME": "SAME_UPPER", "VALID": "VALID"}[padding]
        options = {
            "kernel_shape": weights.shape[:2],
            "strides": [stride, stride],
            "auto_pad": auto,
        }
        x = self.node(
            "Conv", [x, self.weight(weights.transpose(3, 2, 0, 1)), *bias], options
        )
        return self.node(
            "Relu", [self.batch_norm(x, f"{scope}/BatchNorm") if normalized else x]
        )

    def batch_norm(self, x: str, scope: str) -> str:
        """slim leaves out gamma where ReLU follows."""
        beta, mean, variance = (
            self.variables(f"{scope}/{name}", 1)
            for name in ("beta", "moving_mean", "moving_variance")
        )
        gamma = self.variables.get(f"{scope}/gamma")
        values = (np.ones_like(beta) if gamma is None else gamma, beta, mean, variance)
        return self.node(
            "BatchNormalization", [x, *map(self.weight, values)], {"epsilon": _EPSILON}
        )

    def maximum(self, x: str) -> str:
        return self.node("MaxPool", [x], {"kernel_shape": [3, 3], "strides": [2, 2]})

    def average(self, x: str) -> str:
        """The mean of 3 x 3 of what is there; TensorFlow counts no padding."""
        return self.node(
            "AveragePool", [x], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}
        )

    def lrn(self, x: str) -> str:
        """`local_response_normalization(x, 5, alpha=1e-4, beta=0.75)`: 5 channels to each side, alpha undivided."""
        return self.node(
            "LRN", [x], {"size": 11, "alpha": 1e-4 * 11, "beta": 0.75, "bias": 1.0}
        )

    def dense(self, x: str, scope: str) -> str:
        weights, biases = (
            self.variables(f"{scope}/weights", 2),
            self.variables(f"{scope}/biases", 1),
        )
        return self.node("Gemm", [x, self.weight(weights), self.weight(biases)])

    def head(self, x: str) -> Message:
        probabilities = self.node("Softmax", [self.dense(x, "output")], {"axis": 1})
        return self.model(probabilities, (SIDE, SIDE, 3))

    def branch(self, x: str, scope: str, layers: Sequence[str]) -> str:
        """Layers one after the other; those with a + side by side."""
        for layer in layers:
            sides = [self.layer(x, f"{scope}/{one}") for one in layer.split("+")]
            x = sides[0] if len(sides) == 1 else self.node("Concat", sides, {"axis": 1})
        return x

    def layer(self, x: str, name: str) -> str:
        """A convolution or pooling, by its name."""
        scope, halves, _ = name.partition("/2")
        if scope.endswith("/maximum"):
            return self.maximum(x)
        if scope.endswith("/average"):
            return self.average(x)
        return (
            self.conv(x, scope, stride=2, padding="VALID")
            if halves
            else self.conv(x, scope)
        )


def _levi_hassner(variables: Variables) -> Message:
    """Three convolutions and two dense layers; flattened with channels last, as TensorFlow holds them."""
    graph = _CheckpointGraph(variables)
    x = graph.maximum(
        graph.conv(
            graph.transpose(INPUT, (0, 3, 1, 2)), "conv1", stride=4, padding="VALID"
        )
    )
    normalize = graph.lrn if variables.scope == "LeviHassner" else lambda value: value
    x = graph.maximum(graph.conv(normalize(x), "conv2"))
    x = graph.maximum(graph.conv(normalize(x), "conv3"))
    x = graph.node("Flatten", [graph.transpose(x, (0, 2, 3, 1))])
    for scope in ("full1", "full2"):
        x = graph.node("Relu", [graph.dense(x, scope)])
    return graph.head(x)


def _inception(variables: Variables) -> Message:
    graph = _CheckpointGraph(variables)
    x = graph.conv(
        graph.transpose(INPUT, (0, 3, 1, 2)), "Conv2d_1a_3x3", stride=2, padding="VALID"
    )
    x = graph.conv(graph.conv(x, "Conv2d_2a_3x3", padding="VALID"), "Conv2d_2b_3x3")
    x = graph.conv(graph.maximum(x), "Conv2d_3b_1x1", padding="VALID")
    x = graph.maximum(graph.conv(x, "Conv2d_4a_3x3", padding="VALID"))
    for name, block in _INCEPTION.items():
        branches = [
            graph.branch(x, f"{name}/Branch_{i}", layers)
            for i, layers in enumerate(block)
        ]
        x = graph.node("Concat", branches, {"axis": 1})
    return graph.head(graph.node("Flatten", [graph.node("GlobalAveragePool", [x])]))


ARCHITECTURES: Mapping[
    str, tuple[str, Callable[[Variables], Any]]
] = {  # name: (scope of its variables, how it is laid)
    "levi_hassner": ("LeviHassner", _levi_hassner),
    "levi_hassner_bn": ("LeviHassnerBN", _levi_hassner),
    "inception": ("InceptionV3", _inception),
}
