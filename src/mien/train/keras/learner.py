"""Networks trained by Keras: linear heads on their frozen features, their last blocks, or all of them from nothing.

Everything that is drawn by chance is drawn from (seed, epoch), and after every epoch all that training consists of is
written down, so that a run that was stopped goes on to the very same weights.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mien import private, store
from mien.errors import InputError
from mien.media import images
from mien.models.classifier import Preprocessing, feed
from mien.train import export
from mien.train.faces import augmented, crop_of, crop_views
from mien.train.features import F16
from mien.train.head import LinearLearner
from mien.train.keras import architectures, backend
from mien.train.keras.architectures import ARCHITECTURES, Architecture
from mien.train.learners import NONE, Curve, Lesson, NetworkOptions, Workshop
from mien.train.linear import log_loss
from mien.train.splits import stratified_folds
from mien.types import F32, F64, I64, U8

log = logging.getLogger(__name__)

PADDING = 0.25
_FOLDER = "bottlenecks"
_VERSION = 1
_VALIDATION_FOLDS = 6  # one of them decides when to stop


@dataclass(slots=True)
class Progressed:
    """Where training stands after some epochs."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    lines: dict[str, list[float]] = field(
        default_factory=lambda: {"learnt from": [], "held back": [], "accuracy": []}
    )


@dataclass(frozen=True, slots=True)
class KerasModel:
    """A trained network and how it learnt."""

    network: Any
    curve: Curve


class NetworkLearner:
    """Trains one of the architectures.

    Args:
        architecture: Which.
        lesson: What is to be learnt of which pictures (the network reads pixels).
        network: How.
        workshop: Where it works.
    """

    def __init__(
        self,
        architecture: Architecture,
        lesson: Lesson,
        network: NetworkOptions,
        workshop: Workshop,
    ) -> None:
        architectures.check_weights(architecture, network.weights)
        self.kind = architecture
        self.network = network
        self.seen = lesson.seen
        self.task = lesson.task
        self.describer = workshop.describer
        self.workshop = workshop
        own_size = (
            architecture.scratch_size if network.weights == NONE else architecture.size
        )
        self.size = own_size if network.size is None else network.size
        if self.size < architecture.least:
            raise InputError(
                f"--size {self.size}: {architecture.name} needs {architecture.least} pixels at least"
            )
        self.how = Preprocessing(
            self.size, PADDING, [architecture.mean], [architecture.std]
        )
        self._crops: U8 | None = None

    @property
    def architecture(self) -> str:
        return self.kind.name

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """How the model file will be fed."""
        return asdict(self.how)

    @property
    def quick(self) -> bool:
        """Whether a second training on all pictures is cheap."""
        return self.network.weights != NONE and not self.network.fine_tune

    # --- pictures ---

    @property
    def crops(self) -> U8:
        """All faces (N, size, size, 3) BGR, on disk."""
        if self._crops is None:
            private.make_folder(self.workshop.folder)
            count = len(self.seen.data)
            shape = (count, self.size, self.size, 3)
            crops = np.lib.format.open_memmap(
                self.workshop.folder / "crops.npy", "w+", np.uint8, shape
            )
            for i, item in enumerate(self.seen.data.items):
                face = self.describer.face_in(images.read_bytes(item.file))
                crops[i] = crop_of(face, size=self.size, padding=PADDING)
            self._crops = np.asarray(crops)
        return self._crops

    def pixels(self, crops: U8) -> F32:
        """Crops (N, S, S, 3) uint8 BGR as the network is fed."""
        return feed(crops.astype(np.float32), self.how)

    # --- learning ---

    def learn(self, rows: I64) -> KerasModel:
        """The network that the pictures `rows` teach."""
        keras = backend.load_keras()
        keras.backend.clear_session()
        keras.utils.set_random_seed(self.task.seed)
        if self.network.weights == NONE:
            return self._train(self._with_head(NONE), rows)
        linear = LinearLearner(
            {"features": self.features()}, self.task, [("features",)]
        ).learn(rows)
        network = self._with_head(self.network.weights)
        network.layers[-1].set_weights([linear.matrices["features"], linear.bias])
        return (
            self._train(network, rows)
            if self.network.fine_tune
            else KerasModel(network, linear.curve)
        )

    def _with_head(self, weights: str) -> Any:
        """The network with a softmax over the classes on top."""
        keras = backend.load_keras()
        body = architectures.build(self.kind, self.size, weights)
        if weights == NONE:
            architectures.quicken_statistics(body)
        else:
            architectures.free_last_blocks(body, self.kind, self.network.fine_tune)
        x = keras.layers.Dropout(self.network.dropout, seed=self.task.seed)(body.output)
        classes = self.task.targets.shape[1]
        x = keras.layers.Dense(
            classes, activation="softmax", dtype="float32", name="classes"
        )(x)
        return keras.Model(body.input, x)

    def features(self) -> F16:
        """What the frozen network sees in all views of all pictures (N, views, D), kept in the user's cache."""
        body = architectures.build(self.kind, self.size, self.network.weights)
        body_id = f"{self.kind.name}-{architectures.weights_id(self.network.weights)}-{self.size}"
        name = f"{body_id}-{self.describer.described_by}-v{_VERSION}"
        found = [self._feature(body, name, i) for i in range(len(self.seen.data))]
        return np.stack(found)

    def _feature(self, body: Any, name: str, i: int) -> F16:
        digest, views = self.seen.digests[i], self.describer.views
        key = f"{name}-{views}-{digest}"
        kept = store.read_entry(_FOLDER, key) if self.describer.described_by else None
        if kept is not None:
            return np.asarray(
                np.load(io.BytesIO(kept), allow_pickle=False), dtype=np.float16
            )
        pictures = crop_views(self.crops[i], views=views, seed=int(digest[:8], 16))
        feature = np.asarray(
            body.predict_on_batch(self.pixels(pictures)), dtype=np.float16
        )
        packed = io.BytesIO()
        np.save(packed, feature)
        if self.describer.described_by:
            store.write_entry(_FOLDER, key, packed.getvalue())
        return feature

    def predict(self, model: KerasModel, rows: I64) -> F64:
        """Probabilities (N, K) of pictures."""
        return self._probs(model.network, rows)

    def _probs(self, network: Any, rows: I64) -> F64:
        size = self.network.batch_size
        parts = [
            network.predict_on_batch(self.pixels(self.crops[rows[k : k + size]]))
            for k in range(0, len(rows), size)
        ]
        return np.concatenate(parts).astype(np.float64)

    def _train(self, network: Any, rows: I64) -> KerasModel:
        """Trains what is free in the network, until pictures kept back are told no better."""
        _, groups = np.unique(self.task.groups[rows], return_inverse=True)
        folds = stratified_folds(
            groups,
            self.task.classes[rows],
            folds=_VALIDATION_FOLDS,
            seed=self.task.seed + 1,
        )
        held = folds == 0
        learning, held = (
            (rows[~held], rows[held]) if held.any() and not held.all() else (rows, rows)
        )
        run = _Training(self, network, learning, held)
        run.resume(self._checkpoint(rows))
        run.to_the_end()
        lines = {name: tuple(line) for name, line in run.state.lines.items()}
        return KerasModel(
            network, Curve("epoch", tuple(range(1, run.state.epoch + 1)), lines)
        )

    def _checkpoint(self, rows: I64) -> Path:
        """Where this very training is kept: same pictures, same options."""
        what = {
            name: str(value)
            for name, value in asdict(self.network).items()
            if name != "tensorboard"
        }
        what |= {
            "kind": self.kind.name,
            "size": str(self.size),
            "seed": str(self.task.seed),
        }
        what |= {
            "data": self.seen.data.sha256(self.seen.digests),
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        return self.workshop.folder / (
            hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
            + ".npz"
        )

    # --- the file ---

    def export(self, model: KerasModel, card: export.Card) -> bytes:
        """The model file, checked against Keras."""
        pictures = self.pixels(self.crops[: min(8, len(self.crops))])
        proto = backend.to_onnx(model.network, self.size)
        return export.finished(
            proto, card, [pictures], model.network.predict_on_batch(pictures)
        )


class _Training:
    """One training of one network."""

    def __init__(
        self, learner: NetworkLearner, network: Any, learning: I64, held: I64
    ) -> None:
        self.learner = learner
        self.options = learner.network
        self.model = network
        self.learning = learning
        self.held = held
        self.state = Progressed()
        self.best: list[np.ndarray] = []
        self.file = Path()
        keras = backend.load_keras()
        rate = self.options.learning_rate
        if rate is None:
            rate = 1e-3 if self.options.weights == NONE else 1e-4
        optimizer = keras.optimizers.Adam(rate, clipnorm=4.0)
        network.compile(optimizer=optimizer, loss="categorical_crossentropy")
        optimizer.build(network.trainable_variables)

    def resume(self, file: Path) -> None:
        """Takes up what an interrupted training left in its checkpoint."""
        self.file = file
        if not file.is_file():
            return
        with np.load(file, allow_pickle=False) as kept:
            self.state = Progressed(**json.loads(str(kept["state"])))
            for k, variable in enumerate(self._variables()):
                variable.assign(kept[f"v{k}"])
            self.best = [kept[f"b{k}"] for k in range(len(self.model.get_weights()))]
        log.warning(
            "going on after epoch %d of a training that was stopped", self.state.epoch
        )

    def to_the_end(self) -> None:
        """All epochs that are left; the network then is as it was at its best."""
        board = backend.scalars_to(self.options.tensorboard)
        while (
            self.state.epoch < self.options.epochs
            and self.state.epoch - self.state.best_epoch < self.options.patience
        ):
            self.once_over()
            self.save()
            self.learner.workshop.progress(self.state.epoch, self.options.epochs)
            board(
                {name: line[-1] for name, line in self.state.lines.items()},
                self.state.epoch,
            )
        self.model.set_weights(self.best)

    def once_over(self) -> None:
        """One epoch: learns from all, then measures on what is held back."""
        state, task = self.state, self.learner.task
        rng = np.random.default_rng((task.seed, state.epoch))
        order = rng.permutation(self.learning)
        losses = [
            self.step(rows, rng) for rows in _batches(order, self.options.batch_size)
        ]
        probs = self.learner._probs(self.model, self.held)
        targets = task.targets[self.held]
        state.epoch += 1
        state.lines["learnt from"].append(float(np.mean(losses)))
        state.lines["held back"].append(
            log_loss(np.log(np.maximum(probs, 1e-7)), targets)
        )
        state.lines["accuracy"].append(
            float((probs.argmax(axis=1) == targets.argmax(axis=1)).mean())
        )
        if state.lines["held back"][-1] < state.best:
            state.best, state.best_epoch = state.lines["held back"][-1], state.epoch
            self.best = self.model.get_weights()
        log.info(
            "epoch %d: %s",
            state.epoch,
            {name: round(line[-1], 4) for name, line in state.lines.items()},
        )

    def step(self, rows: I64, rng: np.random.Generator) -> float:
        """Learns from a batch; the loss."""
        crops = self.learner.crops[rows]
        if self.options.augment:
            crops = np.stack([augmented(crop, rng) for crop in crops])
        task = self.learner.task
        self.model.reset_metrics()
        loss = self.model.train_on_batch(
            self.learner.pixels(crops), task.targets[rows], task.weights[rows]
        )
        return float(np.ravel(loss)[0])

    def _variables(self) -> list[Any]:
        """All that training consists of: weights, the optimizer's state, the seeds of dropout."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def save(self) -> None:
        """Writes where the training stands."""
        packed = io.BytesIO()
        numpy = backend.load_keras().ops.convert_to_numpy
        values = {
            f"v{k}": numpy(variable) for k, variable in enumerate(self._variables())
        }
        best = {f"b{k}": value for k, value in enumerate(self.best)}
        np.savez(
            packed,
            allow_pickle=False,
            state=np.array(json.dumps(asdict(self.state))),
            **values,
            **best,
        )
        store.write_atomically(self.file, packed.getvalue())


def _batches(order: I64, size: int) -> list[I64]:
    """Batches of an order; a last one of a single picture is left out, batch normalisation can do nothing with it."""
    parts = [order[k : k + size] for k in range(0, len(order), size)]
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts


inception_v3 = partial(NetworkLearner, ARCHITECTURES["inception_v3"])
mobilenet_v3 = partial(NetworkLearner, ARCHITECTURES["mobilenet_v3"])
efficientnet_v2_b0 = partial(NetworkLearner, ARCHITECTURES["efficientnet_v2_b0"])
levi_hassner = partial(NetworkLearner, ARCHITECTURES["levi_hassner"])
