"""The networks that `mien train --architecture` knows beside `face`, built by Keras."""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien import store
from mien.errors import InputError, ModelError
from mien.train.keras.backend import load_keras, local_response_norm
from mien.train.learners import IMAGENET, NONE


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network without its last layer.

    `build(keras, size, weights)` makes it from pictures (N, size, size, 3) to features (N, D); pixels 0 to 255 are
    fed as (x - mean) / std in RGB. `size` is what its ImageNet weights know, `scratch_size` is enough for faces;
    `least` is the smallest it can take. `block_end` matches the name of the layer that ends a block.
    """

    name: str
    build: Callable[[Any, int, str | None], Any]
    size: int
    scratch_size: int
    least: int
    block_end: str
    mean: float = 0.0
    std: float = 1.0
    pretrained: bool = True


def _application(name: str, **more: object) -> Callable[[Any, int, str | None], Any]:
    def build(keras: Any, size: int, weights: str | None) -> Any:
        make = getattr(keras.applications, name)
        return make(
            include_top=False,
            weights=weights,
            input_shape=(size, size, 3),
            pooling="avg",
            **more,
        )

    return build


def _levi_hassner(keras: Any, size: int, weights: str | None) -> Any:
    """Levi and Hassner's network for age and gender (2015), local response normalisation and all."""
    layers = keras.layers
    x = pictures = keras.Input((size, size, 3))
    for k, (filters, side, stride, padding) in enumerate(
        ((96, 7, 4, "valid"), (256, 5, 1, "same"), (384, 3, 1, "same"))
    ):
        x = layers.Conv2D(
            filters, side, stride, padding, activation="relu", name=f"conv{k + 1}"
        )(x)
        x = layers.MaxPooling2D(3, 2, name=f"pool{k + 1}")(x)
        x = local_response_norm()(x) if k < 2 else x
    x = layers.Flatten()(x)
    for k in (1, 2):
        x = layers.Dense(512, activation="relu", name=f"fc{k}")(x)
        x = layers.Dropout(0.5, name=f"dropout{k}")(x)
    model = keras.Model(pictures, x)
    if weights is not None:
        model.load_weights(weights)
    return model


ARCHITECTURES: dict[str, Architecture] = {
    row.name: row
    for row in (
        Architecture(
            "inception_v3",
            _application("InceptionV3"),
            299,
            150,
            75,
            r"^mixed\d+$",
            mean=127.5,
            std=127.5,
        ),
        Architecture(
            "mobilenet_v3",
            _application("MobileNetV3Large", include_preprocessing=True),
            224,
            128,
            32,
            r"^expanded_conv(_\d+)?_project_bn$",
        ),
        Architecture(
            "efficientnet_v2_b0",
            _application("EfficientNetV2B0", include_preprocessing=True),
            224,
            128,
            32,
            r"^block\d+[a-z]_project_bn$",
        ),
        Architecture(
            "levi_hassner",
            _levi_hassner,
            227,
            227,
            64,
            r"^(pool|fc)\d+$",
            mean=127.5,
            std=64.0,
            pretrained=False,
        ),
    )
}


def check_weights(architecture: Architecture, weights: str) -> None:
    """Raises:
    InputError: These weights cannot be had for this network.
    """
    if weights in {IMAGENET, NONE}:
        if weights == IMAGENET and not architecture.pretrained:
            raise InputError(
                f"there are no ImageNet weights of {architecture.name}; say --weights none or a file"
            )
        if weights == IMAGENET and store.is_offline():
            raise InputError(
                f"MIEN_OFFLINE is set, and the ImageNet weights of {architecture.name} would be fetched; "
                "say --weights FILE (what was fetched before lies in ~/.keras/models), or --weights none"
            )
        return
    if not Path(weights).is_file():
        raise InputError(
            f"--weights {weights}: there is no such file; it is imagenet, none, or a Keras weights file"
        )


def build(architecture: Architecture, size: int, weights: str) -> Any:
    """The network of an architecture with its weights.

    Raises:
        ModelError: The weights cannot be fetched or do not fit.
    """
    keras = load_keras()
    if weights == NONE:
        return architecture.build(keras, size, None)
    try:
        with (
            redirect_stdout(sys.stderr),
            warnings.catch_warnings(),
        ):  # Keras tells of its downloads on stdout
            warnings.filterwarnings(
                "error", message=".*freshly-initialized"
            )  # and only warns of weights it lacks
            return architecture.build(keras, size, weights)
    except (
        Exception
    ) as exc:  # Keras raises whatever its download or its file reader was led to
        reason = str(exc).strip().partition("\n")[0]
        if weights == IMAGENET:
            raise ModelError(
                f"the ImageNet weights of {architecture.name} cannot be fetched ({reason}); offline, fetch the file "
                f"elsewhere and say --weights FILE, or begin without any by --weights none"
            ) from exc
        raise ModelError(
            f"{weights} does not fit {architecture.name} without its top: {reason}"
        ) from exc


def weights_id(weights: str) -> str:
    """What tells weights apart in the cache."""
    if weights in {IMAGENET, NONE}:
        return weights
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:16]


def blocks_of(model: Any, architecture: Architecture) -> list[list[Any]]:
    """The layers with weights in blocks, from the first to the last."""
    blocks: list[list[Any]] = [[]]
    for layer in model.layers:
        if layer.weights:
            blocks[-1].append(layer)
        if re.match(architecture.block_end, layer.name):
            blocks.append([])
    return [block for block in blocks if block]


def free_last_blocks(model: Any, architecture: Architecture, count: int) -> None:
    """Freezes all but the last blocks; batch normalisation keeps its ImageNet statistics there too.

    Raises:
        InputError: It has fewer blocks.
    """
    keras = load_keras()
    blocks = blocks_of(model, architecture)
    if count > len(blocks):
        raise InputError(
            f"--fine-tune {count}: {architecture.name} has {len(blocks)} blocks"
        )
    for block in blocks[: len(blocks) - count]:
        for layer in block:
            layer.trainable = False
    for block in blocks[len(blocks) - count :]:
        for layer in block:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


def quicken_statistics(model: Any) -> None:
    """Lets batch normalisation trained from nothing follow within tens of steps; Keras' own 0.99 needs hundreds."""
    keras = load_keras()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
