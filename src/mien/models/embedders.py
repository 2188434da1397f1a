"""Embedders: a picture and its faces in, the faces with the descriptors that tell who they are out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mien import geometry, onnx_files, plugins, store
from mien.errors import InputError, MienError, ModelError
from mien.models.classifier import read_model
from mien.runtime import Compute, OnnxModel
from mien.space import EmbeddingSpace
from mien.text import did_you_mean, from_json
from mien.types import F32, U8, Faces
from mien.zoo import DLIB, ZOO, FaceCrop, spec_of

FOLDER = "embedders"  # of the data folder: files taken in by `mien models import --as embedder`
_ABOUT = "embedder"  # the entry in a file's metadata
_PASS = 32  # crops that go through the network at once
_PROBES = 2  # made-up crops with which a file is tried out


class Embedder(Protocol):
    """Tells who faces are: gives them with `embeddings` (N, D) of its `space`, by landmarks that can be trusted.

    Example:
        >>> analyzer.embedder(image, faces).embeddings.shape
        (1, 128)
    """

    @property
    def space(self) -> EmbeddingSpace: ...

    def __call__(self, image: U8, faces: Faces) -> Faces: ...


class CropEmbedder:
    """An embedder of ArcFace's kind: it sees faces moved upright by their five landmarks.

    Args:
        model: The network: crops (N, 3, size, size) float32 in, descriptors (N, D) out.
        space: Of its descriptors.
        crop: How it sees a face.
    """

    def __init__(self, model: OnnxModel, space: EmbeddingSpace, crop: FaceCrop) -> None:
        self.model = model
        self.space = space
        self.crop = crop

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if not len(faces):
            return replace(faces, embeddings=np.zeros((0, self.space.size), np.float32))
        crops = prepared(image, faces.landmarks, self.crop)
        return replace(faces, embeddings=self.space.kept(run(self.model, crops)))


def prepared(image: U8, landmarks: F32, crop: FaceCrop) -> F32:
    """What the network sees of faces (N, 5, 2): (N, 3, size, size)."""
    to_crop = geometry.similarity(landmarks, np.array(crop.template, np.float32))
    crops = np.stack([geometry.cut(image, one, size=crop.size) for one in to_crop])
    pixels = crops[..., ::-1] if crop.channels == "rgb" else crops
    fed = (pixels.astype(np.float32) - np.float32(crop.mean)) * np.float32(crop.scale)
    return np.ascontiguousarray(fed.transpose(0, 3, 1, 2))


def run(model: OnnxModel, crops: F32) -> F32:
    """The descriptors (N, D) of crops; networks that were exported for one crop get one at a time."""
    (shape,) = model.inputs.values()
    step = _PASS if isinstance(shape[0], str) or shape[0] is None else int(shape[0])
    if step in (1, _PASS):
        parts = [model(crops[i : i + step])[0] for i in range(0, len(crops), step)]
        return np.concatenate(parts).reshape(len(crops), -1)
    raise ModelError(
        f"{model.name} takes {step} faces at a time; export it for one, or for any number"
    )


def load_embedder(name: str, compute: Compute | None = None) -> Embedder:
    """An embedder by its name: of the zoo, of an installed package, or a file that was taken in.

    Raises:
        InputError: Nothing has that name.
        ModelError: Its weights are not on this machine, or damaged.
        PluginError: The package that offers it cannot be loaded.
    """
    part = plugins.named(plugins.EMBEDDERS, name)
    if part is not None:
        return part.make(compute=compute)  # type: ignore[no-any-return]
    file = _file_of(name)
    if file is not None:
        model = read_model(file, compute)
        return CropEmbedder(model, *about(model))
    return _of_zoo(_checked(name), compute)


def load_sface(*, compute: Compute | None = None) -> Embedder:
    return _of_zoo("sface", compute)


def _of_zoo(name: str, compute: Compute | None) -> Embedder:
    """A row of the zoo that says how it sees a face."""
    spec = spec_of(name)
    if spec.space is None or spec.crop is None:
        raise InputError(f"{name} is no embedder; there are {', '.join(known())}")
    return CropEmbedder(
        OnnxModel(store.read(spec), name, compute), spec.space, spec.crop
    )


def space_of(name: str) -> EmbeddingSpace:
    """The space of an embedder's descriptors; of those of the zoo without loading them.

    Raises:
        As `load_embedder`.
    """
    space = ZOO[name].space if name in ZOO else None
    return load_embedder(name).space if space is None else space


def made_of(name: str) -> tuple[str, ...]:
    """What an embedder's descriptors come from: weights with the start of their SHA-256, a package with its version.

    Raises:
        InputError: Nothing has that name.
    """
    theirs = plugins.named(plugins.EMBEDDERS, name)
    if theirs is not None and theirs.package != plugins.OWN:
        return (f"{name}@{theirs.package}-{theirs.version}",)
    file = _file_of(name)
    if file is not None:
        return (f"{file.stem}@{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}",)
    return (f"{name}@{spec_of(_checked(name)).sha256[:12]}",)


def known() -> list[str]:
    """The names of all embedders that can be asked for."""
    ours = [name for name, spec in ZOO.items() if spec.space is not None]
    return list(
        dict.fromkeys(
            [
                *ours,
                *plugins.found(plugins.EMBEDDERS),
                *(file.stem for file in own_files()),
            ]
        )
    )


def own_files() -> list[Path]:
    """The files that were taken in."""
    return sorted((store.data_dir() / FOLDER).glob("*.onnx"))


def _file_of(name: str) -> Path | None:
    """The file that a name means, if it means one."""
    if name.lower().endswith(".onnx"):
        return Path(name)
    return next((file for file in own_files() if file.stem == name), None)


def _checked(name: str) -> str:
    if name not in known():
        near = did_you_mean(name, known())
        raise InputError(
            f"no embedder is called {name!r}; there are {', '.join(known())}{near}"
        )
    return name


def about(model: OnnxModel) -> tuple[EmbeddingSpace, FaceCrop]:
    """What a file of weights says of itself.

    Raises:
        ModelError: Nothing, or nothing that can be used.
    """
    cure = "take it in with 'mien models import FILE --as embedder'"
    if _ABOUT not in model.metadata:
        raise ModelError(f"{model.name} does not say what its descriptors are; {cure}")
    try:
        told = from_json(model.metadata[_ABOUT])
        template = tuple(tuple(point) for point in told["crop"]["template"])
        return EmbeddingSpace(**told["space"]), FaceCrop(
            **{**told["crop"], "template": template}
        )
    except (ValueError, TypeError, KeyError, MienError) as exc:
        raise ModelError(
            f"{model.name} says of itself what cannot be: {exc}; {cure}"
        ) from exc


def take_in(
    data: bytes, name: str, crop: FaceCrop, bounds: Mapping[str, Any], *, licence: str
) -> bytes:
    """A network's file with what is needed to use it as an embedder.

    Args:
        data: The network, .onnx.
        name: What it is called; galleries are bound to this and to the weights.
        crop: How it sees a face.
        bounds: `metric` and `tolerance` of its space.
        licence: Of the weights, to be noted.

    Raises:
        ModelError: It is no network, or gives no descriptors of such crops.
        InputError: A bound cannot be.
    """
    size = _tried_out(OnnxModel(data, name), crop)
    bound_to = f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
    space = EmbeddingSpace.like(DLIB, name=bound_to, size=size, **bounds)
    network = onnx_files.read(data)
    told = {
        _ABOUT: json.dumps({"space": space.described(), "crop": asdict(crop)}),
        "licence": licence,
    }
    kept = {entry.key: entry.value for entry in network.metadata_props}
    onnx_files.describe(network, {**kept, **told})
    return bytes(network.SerializeToString())


def _tried_out(model: OnnxModel, crop: FaceCrop) -> int:
    """How many numbers it gives of a face."""
    noise = (
        np.random.default_rng(0)
        .integers(0, 255, (_PROBES, 3, crop.size, crop.size))
        .astype(np.float32)
    )
    if len(model.inputs) != 1:
        raise ModelError(
            f"{model.name} has {len(model.inputs)} inputs; an embedder has one, for crops of faces"
        )
    rows = run(model, (noise - np.float32(crop.mean)) * np.float32(crop.scale))
    if not np.isfinite(rows).all() or np.ptp(rows, axis=0).max() == 0:
        raise ModelError(
            f"{model.name} gives the same for every face, or no numbers; is it an embedder?"
        )
    return int(rows.shape[1])
