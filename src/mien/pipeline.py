"""The way of a picture: detect, align, look at each face, name."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mien import geometry, plugins
from mien.attribute import IDENTITY, Attribute
from mien.errors import InputError, ManyFacesError, NoFaceError, PluginError
from mien.gallery import NOBODY, Gallery, Photo, check_there, open_gallery
from mien.gallery.weights import GOOD
from mien.media import images
from mien.models.attributes.antispoof import LIVE, refuse_spoof
from mien.models.attributes.heads import (
    BUILT_IN,
    EMOTION,
    EMOTION_FEATURES,
    TRAITS,
    EmotionNet,
    TraitHeads,
)
from mien.models.backbone import Aligner, FaceBackbone, Head, described_by, load_resnet
from mien.models.backbone_head import BackboneHead
from mien.models.classifier import check_crops
from mien.models.detectors.angle import AngleNet
from mien.models.detectors.base import MIN_FACE, Detector, load_detector
from mien.models.detectors.compact import Compact
from mien.models.embedders import Embedder, load_embedder, made_of
from mien.models.own import OwnModel, load_own, try_out
from mien.models.parts import given_by
from mien.output.columns import Told
from mien.output.results import Result
from mien.pool import in_order, worker_threads
from mien.progress import progress as bar_for
from mien.quality import judged, measure
from mien.runtime import Compute
from mien.sources import open_source
from mien.sources.given import Picture, check_color, frame_of, name_of
from mien.space import EmbeddingSpace
from mien.text import did_you_mean
from mien.types import F32, I64, U8, Faces, Frame, FrameResult, Mask
from mien.verification import Verification, compare
from mien.zoo import DLIB

if TYPE_CHECKING:
    from mien.session import Session, SessionOptions

DEFAULT_DETECTOR = "compact"
DEFAULT_EMBEDDER = DLIB.name
PARTS = (IDENTITY, *BUILT_IN)  # what is computed unless something else is asked for

_NARROW, _WIDE = 16, 32  # pixels


class Stage(Protocol):
    """Adds something to the faces of a picture; gives a new object and leaves its input as it was.

    Example:
        >>> def only_large(image, faces):
        ...     return faces[(faces.boxes[:, 2] - faces.boxes[:, 0]) > 60]
        >>> len(only_large(image, faces))
        1
    """

    def __call__(self, image: U8, faces: Faces) -> Faces: ...


class AttributeModel(Protocol):
    """A stage that tells one or several attributes: it gives the faces with a `Scores` for each of `attributes`."""

    @property
    def attributes(self) -> tuple[Attribute, ...]: ...

    def __call__(self, image: U8, faces: Faces) -> Faces: ...


class Identify:
    """The stage that names faces by a gallery. A small face must be nearer to get a name: see `tolerance_for`."""

    def __init__(self, gallery: Gallery, *, tolerance: float) -> None:
        self.gallery = gallery
        self.tolerance = tolerance

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if faces.embeddings is None:
            raise ValueError(
                "identification reads the descriptors: run the backbone first"
            )
        tolerance = tolerance_for(faces.landmarks, self.tolerance, self.gallery.space)
        return replace(
            faces, matches=self.gallery.search(faces.embeddings, tolerance=tolerance)
        )


def tolerance_for(landmarks: F32, tolerance: float, space: EmbeddingSpace) -> F32:
    """The tolerance (N,) of each face: full from 32 pixels of width on, four fifths at 16.

    Of a face of 20 pixels too little is left to tell look-alikes apart: better no name than a wrong one.
    """
    lacking = np.clip(
        (_WIDE - geometry.face_sizes(landmarks)) / (_WIDE - _NARROW), 0, 1
    )
    return space.scaled(tolerance, 1 - 0.2 * lacking)


class _Part:
    """Of a model that tells several attributes, those that are asked for."""

    def __init__(self, model: AttributeModel, only: Collection[str]) -> None:
        self.model = model
        self.only = only
        self.attributes = tuple(one for one in model.attributes if one.name in only)

    def __call__(self, image: U8, faces: Faces) -> Faces:
        told = given_by(self.model, image, faces)
        unasked = {one.name for one in self.model.attributes} - set(self.only)
        return told.only(told.attributes.keys() - unasked | {IDENTITY})


class Analyzer:
    """Finds and describes faces. Loads its models once; safe to share between threads.

    Args:
        gallery: People to recognise: a folder of photos, a `.db` file, or an open `Gallery`; None or "none":
            nobody.
        detector: A detector's name ("compact", "mmod", "hog", "yunet") or the detector itself.
        embedder: An embedder's name ("dlib_resnet", "sface", one of a package or that you imported), a file of one, or
            the embedder itself: what tells who a face is.
        tolerance: The largest distance at which two descriptors are one person, in the embedder's measure; None takes
            its own (0.6 for dlib's).
        min_face: Pixels; the smallest face that must be found. Larger is faster on large photos.
        only: What to compute: "identity" and the names of attributes; None computes everything there is.
        attributes: Further models of attributes: objects, or names of those that installed packages offer (those that
            `only` names are found without).
        models: Model files of your own by the attribute they tell, a built-in one or a new one.
        device: "auto", "cpu", "cuda", "openvino", "coreml" or "directml".
        threads: Threads of one network pass; None takes the processors there are, 4 at most.
        crops: In how many crops models of your own see a face: 1, or 12 (corners, centre, whole, mirrored; averaged).
        false_names: Another way to say `tolerance`: the share of strangers who may be given one of the names, as 0.001;
            the more are enrolled when the analyzer is made, the nearer a face must be.
        fast: Describe a still face by one view of it: quicker, a little less sure who it is and what it looks like.
        color: The order of the channels of arrays, "bgr" (as OpenCV has it) or "rgb" (as Pillow and matplotlib).

    Raises:
        ModelError: Weights are missing or damaged.
        GalleryError: The gallery cannot be opened.

    Example:
        >>> analyzer = Analyzer(gallery="people/")
        >>> for face in analyzer.analyze("party.jpg").faces:
        ...     print(face.name, face.gender, face.emotion)
        Eileen Collins female happiness
    """

    def __init__(
        self,
        gallery: str | Path | Gallery | None = None,
        *,
        detector: str | Detector = DEFAULT_DETECTOR,
        embedder: str | Embedder = DEFAULT_EMBEDDER,
        tolerance: float | None = None,
        min_face: int = MIN_FACE,
        only: Sequence[str] | None = None,
        attributes: Sequence[str | AttributeModel] = (),
        models: Mapping[str, Path] = MappingProxyType({}),
        device: str = "auto",
        threads: int | None = None,
        crops: int = 1,
        fast: bool = False,
        false_names: float | None = None,
        color: str = "bgr",
    ) -> None:
        if min_face < 1:
            raise InputError(f"min_face: pixels, 1 or more; got {min_face}")
        self.compute, self.crops = Compute(device, threads), check_crops(crops)
        self.color = check_color(color)
        self.further, only = _further(attributes, only, models, self.compute)
        own_names = [
            attribute.name for model in self.further for attribute in model.attributes
        ]
        self.only = frozenset(_checked_parts(only, models, own_names))
        self.described_by: str | None = getattr(
            detector, "described_by", None
        )  # None: nothing is kept of its answers
        if isinstance(detector, str):
            self.described_by = kept_under(detector, embedder, min_face=min_face)
            detector = load_detector(detector, min_face=min_face, compute=self.compute)
        self.detector = detector
        self.angle = (
            detector.angle
            if isinstance(detector, Compact)
            else AngleNet.load(self.compute)
        )
        own = {
            name: self.load_model(name, Path(file))
            for name, file in models.items()
            if name in self.only
        }
        aligner = Aligner.load(self.detector.aligns_by)
        dlib = FaceBackbone(load_resnet(self.compute), aligner, fast=fast)
        if (
            embedder == DEFAULT_EMBEDDER
        ):  # one network tells who a face is and what the heads read
            self.embedder: Embedder = dlib
        else:
            self.embedder = (
                load_embedder(embedder, self.compute)
                if isinstance(embedder, str)
                else embedder
            )
        self._tell_by(own, dlib)
        for model in own.values():
            try_out(model, self.backbone)
        if gallery == NOBODY:
            gallery = None
        if isinstance(gallery, str | Path):
            check_there(str(gallery))
        self.gallery = (
            self._open(gallery) if isinstance(gallery, str | Path) else gallery
        )
        people = 1
        if false_names is not None and self.gallery is not None:
            people = len(self.gallery.people())
        self.tolerance = self.space.bound(
            tolerance=tolerance, false_names=false_names, people=people
        )

    @property
    def space(self) -> EmbeddingSpace:
        """Of the descriptors."""
        return self.embedder.space

    def _tell_by(self, models: Mapping[str, OwnModel], backbone: FaceBackbone) -> None:
        """Takes models of the user's by what they tell; ours tell the rest."""
        ours = (self.only & BUILT_IN.keys()) - models.keys()
        self.models: Mapping[str, OwnModel] = MappingProxyType(dict(models))
        pixels = [
            model for model in models.values() if not isinstance(model, BackboneHead)
        ]
        self.own: Sequence[AttributeModel] = [
            *pixels,
            *(
                _Part(model, self.only)
                for model in self.further
                if any(attribute.name in self.only for attribute in model.attributes)
            ),
        ]
        heads: list[Head] = [
            model for model in models.values() if isinstance(model, BackboneHead)
        ]
        tells, seen = (
            EMOTION.name in ours,
            any(EMOTION_FEATURES in head.reads for head in heads),
        )
        net = EmotionNet.load(self.compute, tells=tells) if tells or seen else None
        if ours & TRAITS.keys():
            heads.append(TraitHeads.load(ours, self.compute))
        self.backbone = FaceBackbone(
            backbone.model, backbone.aligner, net, heads, fast=backbone.fast
        )

    def _open(self, place: str | Path) -> Gallery:
        return open_gallery(
            str(place),
            space=self.space,
            describe=self.describe_photo,
            described_by=self.described_by,
        )

    def load_model(self, attribute: str, file: Path) -> OwnModel:
        """A model file of the user's that is to tell `attribute`, run where this analyzer runs.

        Raises:
            InputError: No attribute can have this name.
            ModelError: Unreadable, no network, without labels, or with labels that cannot tell the attribute.
        """
        return load_own(file, attribute, self.compute, crops=self.crops)

    def with_model(self, attribute: str, model: OwnModel | None) -> Analyzer:
        """This analyzer with another model for one attribute (None: ours); everything else is shared.

        The analyzer itself stays as it is, and so do sessions that were made of it.

        Raises:
            ModelError: The model cannot run.
        """
        if model is not None:
            try_out(model, self.backbone)
        others = {name: own for name, own in self.models.items() if name != attribute}
        view = copy.copy(self)
        view._tell_by(
            others if model is None else {**others, attribute: model}, self.backbone
        )
        return view

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What is told of each face besides who it is, in the order in which it is told."""
        further = (
            attribute
            for attribute in _told_by(self.further)
            if attribute.name in self.only
        )
        own = (model.attribute for model in self.models.values())
        told = {
            attribute.name: attribute
            for attribute in (*self.backbone.attributes, *further, *own)
        }
        return tuple(
            sorted(
                told.values(),
                key=lambda attribute: [*BUILT_IN, attribute.name].index(attribute.name),
            )
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """What is computed: "identity" and attributes, by name."""
        return (
            *([IDENTITY] if IDENTITY in self.only else []),
            *(attribute.name for attribute in self.attributes),
        )

    @property
    def told(self) -> Told:
        """What results can say; tables have the columns of the built-in attributes also where they are left out."""
        return Told(
            tuple(
                {
                    **BUILT_IN,
                    **{attribute.name: attribute for attribute in self.attributes},
                }.values()
            ),
            self.space,
        )

    @property
    def stages(self) -> list[Stage]:
        """What is done with detected faces, in order."""
        if IDENTITY not in self.only:
            return [self.backbone.tell, *self.own]
        if self.gallery is None:
            return [*self._describers, *self.own]
        return [
            *self._describers,
            *self.own,
            Identify(self.gallery, tolerance=self.tolerance),
        ]

    @property
    def _describers(self) -> list[Stage]:
        """What gives descriptors and the attributes that are ours: dlib's network gives both in one pass."""
        return (
            [self.backbone]
            if isinstance(self.embedder, FaceBackbone)
            else [self.backbone.tell, self._embedded]
        )

    def _embedded(self, image: U8, faces: Faces) -> Faces:
        faces = given_by(self.embedder, image, faces)
        rows = faces.embeddings
        size = 0 if rows is None else rows.shape[1]
        if len(faces) and size != self.space.size:
            raise PluginError(
                f"the embedder of {self.space.name} gives {size} numbers of a face, its space has {self.space.size}"
            )
        return (
            faces if rows is None else replace(faces, embeddings=self.space.kept(rows))
        )

    def analyze(
        self, source: Picture, *, color: str | None = None, keep_image: bool = False
    ) -> Result:
        """The faces of one picture: a path, an http(s) address, a file's bytes, an open file, a Pillow picture, or an
        array (H, W, 3) uint8 BGR, grey, with transparency, or of floats from 0 to 1.

        `color` is the order of an array's channels ("bgr" or "rgb"; None: the analyzer's); `keep_image` keeps the
        picture with the result, which only arrays, Pillow pictures and addresses need to be drawn again.

        Raises:
            InputError: The picture cannot be read.

        Example:
            >>> analyzer.analyze(photo).faces[0].gender
            'female'
        """
        chosen = self.color if color is None else check_color(color)
        frame, origin = frame_of(source, chosen)
        result = self.analyze_frame(frame)
        return Result.of(result, frame.image if keep_image else origin)

    def analyze_many(
        self,
        sources: Iterable[Picture],
        *,
        jobs: int = 1,
        progress: bool = True,
        keep_image: bool = False,
    ) -> Iterator[Result]:
        """The results of many pictures, in their order, `jobs` looked at at the same time.

        One that cannot be read does not end the others: its result has an `error` and no faces. A bar is shown in
        terminals unless `progress` is off.

        Example:
            >>> [len(result.faces) for result in analyzer.analyze_many([photo, photo])]
            [1, 1]
        """

        if isinstance(sources, str | bytes | os.PathLike):
            raise InputError("give a list of pictures; one alone is 'analyze's")
        if jobs < 1:
            raise InputError(f"jobs: 1 or more; got {jobs}")

        def one(source: Picture) -> Result:
            try:
                return self.analyze(source, keep_image=keep_image)
            except InputError as exc:
                return Result.failed(name_of(source), exc)

        total = len(sources) if isinstance(sources, Sized) else None
        with ExitStack() as stack:
            pool = stack.enter_context(worker_threads(jobs))
            bar = stack.enter_context(bar_for("analyzing", total)) if progress else None
            for result in in_order(pool, one, sources, ahead=2 * jobs):
                yield result
                if bar is not None:
                    bar()

    def analyze_frame(self, frame: Frame) -> FrameResult:
        """The faces of one frame of any source."""
        height, width = frame.image.shape[:2]
        faces = judged(
            frame.image,
            self.describe(frame.image, given_by(self.detector, frame.image)),
        )
        boxes = geometry.clip_boxes(
            faces.boxes, width=width, height=height
        )  # the aligner needed them whole
        faces = replace(faces, boxes=boxes)
        return FrameResult(
            frame.source, frame.index, frame.time_s, width, height, faces
        )

    def describe(self, image: U8, faces: Faces) -> Faces:
        """Detected faces with everything that was asked for; nothing of those that stand otherwise than it seemed."""
        sure = ~self.doubtful(image, faces)
        told = faces[sure]
        for stage in self.stages:
            told = given_by(stage, image, told)
        return told if sure.all() else faces.told_by(told, sure)

    def doubtful(self, image: U8, faces: Faces) -> Mask:
        """Which detected faces (N,) stand otherwise than it seemed: the detector says it, else the angle network."""
        if faces.angles is not None:
            return np.asarray(np.isnan(faces.angles), np.bool_)
        return self.angle.doubtful(image, faces.landmarks)

    def observe(self, image: U8, faces: Faces, times_seen: I64) -> Faces:
        """Faces of a stream with everything that was asked for but names; `times_seen` (N,) says how often each was."""
        if isinstance(self.embedder, FaceBackbone):
            faces = self.backbone.observe(image, faces, times_seen)
        else:
            faces = self._embedded(image, self.backbone.tell(image, faces, still=False))
        for stage in self.own:
            faces = given_by(stage, image, faces)
        return faces

    def glance(self, image: U8, faces: Faces) -> Faces:
        """Detected faces with what may have changed since they were looked at: no descriptors, no names."""
        faces = self.backbone.glance(image, faces)
        for stage in self.own:
            faces = given_by(stage, image, faces)
        return faces

    def session(self, options: SessionOptions | None = None) -> Session:
        """The state of one stream: tracks and smooths what its frames show."""
        from mien.session import Session, SessionOptions  # photos do without
        from mien.tracking import TrackerOptions

        gallery = self.gallery if IDENTITY in self.only else None
        search = (
            None
            if gallery is None
            else partial(gallery.search, tolerance=self.tolerance)
        )
        momentary = {
            attribute.name for attribute in self.attributes if attribute.momentary
        }
        slow = {
            a.name
            for head in self.backbone.heads
            if head not in self.backbone.quick
            for a in head.attributes
        }
        tracker = TrackerOptions(
            same=self.space.stranger,
            tolerance=self.space.euclidean(self.tolerance),
            sure_s=0.35 if momentary else 1.0,
        )
        chosen = replace(options or SessionOptions(tracker=tracker), space=self.space)
        glance = None if momentary & slow else self.glance
        return Session(self.detector, self.observe, search, chosen, glance=glance)

    def stream(
        self, uri: str | os.PathLike[str] | int, *, keep_image: bool = False
    ) -> Iterator[Result]:
        """Tracked and smoothed results of a video, camera (its number) or stream, one per frame.

        Raises:
            SourceError: It cannot be opened, or was lost for good.

        Example:
            >>> {face.name for result in analyzer.stream("clip.mp4") for face in result.faces}
            {'Eileen Collins'}
        """
        session = self.session()
        with open_source(uri) as frames:
            for frame in frames:
                result = session.step(frame)
                yield Result.of(result, frame.image if keep_image else None)

    def describe_photo(self, content: bytes) -> Faces:
        """The faces of a photo's bytes, with descriptors only."""
        image = images.read_image(content)
        return self.embed(image, given_by(self.detector, image))

    def embed(self, image: U8, faces: Faces) -> Faces:
        """Detected faces with their descriptors and nothing else."""
        aligned = FaceBackbone(self.backbone.model, self.backbone.aligner)
        if isinstance(self.embedder, FaceBackbone):
            return aligned(image, faces)
        return self._embedded(image, aligned.tell(image, faces))

    @cached_property
    def liveness(self) -> AttributeModel:
        """What tells whether faces are alive: a model that was given, else the one to be had by that name.

        Raises:
            ModelError: Its weights are not on this machine.
        """
        given = (
            model
            for model in self.further
            if LIVE.name in {a.name for a in model.attributes}
        )
        return next(given, None) or _model_of(LIVE.name)(self.compute)

    def check_live(self, image: U8, faces: Faces, *, source: str) -> None:
        """Nothing, unless one of the faces is surely a picture of a face.

        Raises:
            SpoofError: One is.
            ModelError: The weights that tell are not on this machine.
        """
        refuse_spoof(self.liveness(image, faces), source=source)

    def photo(
        self,
        content: bytes,
        *,
        source: str = "",
        largest: bool = False,
        require_live: bool = False,
    ) -> Photo:
        """A photo made ready for `Gallery.enroll`.

        Raises:
            NoFaceError: Nobody is in it.
            ManyFacesError: Several people are, and `largest` is off. People far behind (a quarter of the largest
                face's width, or less) do not count.
            SpoofError: The face surely is a picture or a screen held up, and `require_live` is on.
        """
        name = source or "the photo"
        image = images.read_image(content, name=name)
        faces = self.embed(image, given_by(self.detector, image))
        if not len(faces) or faces.embeddings is None:
            raise NoFaceError(
                f"no face found in {name}; take one where the face is larger, frontal and well lit"
            )
        prominent = faces[in_foreground(faces.landmarks)]
        if len(prominent) > 1 and not largest:
            count = len(prominent)
            raise ManyFacesError(
                f"{count} faces found in {name}; cut it to one, or take the largest"
            )
        i = int(geometry.area(faces.boxes).argmax())
        face = faces[i : i + 1]
        if require_live:
            self.check_live(image, face, source=name)
        return photo_of(image, face, content, source=source)

    def verify(
        self, one: bytes, other: bytes, *, largest: bool = False
    ) -> Verification:
        """Whether the faces of two photos, given as files' bytes, are one person.

        Raises:
            InputError: A photo cannot be read, or holds nobody, or several people while `largest` is off.
        """
        first = self.photo(one, source="the first photo", largest=largest)
        second = self.photo(other, source="the second photo", largest=largest)
        return compare(
            first.embedding, second.embedding, self.space, tolerance=self.tolerance
        )

    def close(self) -> None:
        """Gives back the gallery's files."""
        if self.gallery is not None:
            self.gallery.close()


def kept_under(detector: str, embedder: str | Embedder, *, min_face: int) -> str | None:
    """What decides the descriptors of a picture, as a few letters; None where an embedder cannot say."""
    if not isinstance(embedder, str):
        return None
    more = () if embedder == DEFAULT_EMBEDDER else made_of(embedder)
    return described_by(detector, min_face=min_face, embedder=more)


def photo_of(image: U8, face: Faces, content: bytes, *, source: str) -> Photo:
    """The one described face of a picture as `Gallery.enroll` takes it; `content` is the photo as it is kept.

    Raises:
        InputError: The face has no descriptor.
    """
    if face.embeddings is None:
        raise InputError("the photo's faces have no descriptors")
    parts = measure(image, face)
    worth = float(parts.whole[0])
    sha256 = hashlib.sha256(content).hexdigest()
    return Photo(
        face.embeddings[0],
        sha256,
        source,
        content,
        worth,
        images.thumbnail(image, face.boxes[0]),
        parts.weakest(0) if worth < GOOD else "",
    )


def in_foreground(landmarks: F32) -> Mask:
    """Which faces (N,) are more than a quarter as wide as the widest."""
    sizes = geometry.face_sizes(landmarks)
    return np.asarray(sizes > sizes.max(initial=0) / 4, dtype=np.bool_)


def _told_by(models: Iterable[AttributeModel]) -> Iterator[Attribute]:
    for model in models:
        yield from model.attributes


def _model_of(attribute: str) -> Callable[[Compute], AttributeModel]:
    return plugins.load(
        plugins.ATTRIBUTES, attribute, what="a part or an attribute", besides=PARTS
    )


def _further(
    given: Sequence[str | AttributeModel],
    only: Sequence[str] | None,
    own: Iterable[str],
    compute: Compute,
) -> tuple[list[AttributeModel], Sequence[str] | None]:
    """Models of attributes that are not ours, and `only` by the attributes' own names.

    Those given by name are made by what offers them, and so is what `only` names and nothing given tells; the name
    of something that tells several attributes stands for all of them.
    """
    named = [one for one in dict.fromkeys(given) if isinstance(one, str)]
    models = {name: _model_of(name)(compute) for name in named}
    objects = [one for one in dict.fromkeys(given) if not isinstance(one, str)]
    told = {one.name for one in _told_by([*models.values(), *objects])}
    asked = [one for one in only or () if one not in {*PARTS, *own, *told, *models}]
    models |= {name: _model_of(name)(compute) for name in dict.fromkeys(asked)}
    if only is not None:
        meant = [
            [one.name for one in models[part].attributes] if part in models else [part]
            for part in only
        ]
        only = [name for names in meant for name in names]
    return _undoubled([*models.values(), *objects]), only


def _undoubled(models: list[AttributeModel]) -> list[AttributeModel]:
    """The models, if no two of them tell the same.

    Raises:
        InputError: Two do.
    """
    names = [attribute.name for attribute in _told_by(models)]
    doubled = [name for name in names if names.count(name) > 1 or name in BUILT_IN]
    if doubled:
        raise InputError(
            f"{doubled[0]} is told by two models; leave one out, or call one's attribute something else"
        )
    return models


def _checked_parts(
    only: Sequence[str] | None, models: Mapping[str, Path], further: Sequence[str]
) -> Sequence[str]:
    there = tuple(dict.fromkeys((*PARTS, *models, *further)))
    if only is None:
        return there
    unknown = [part for part in only if part not in there]
    if unknown or not only:
        near = did_you_mean(unknown[0], there) if unknown else ""
        got = ", ".join(map(repr, unknown)) or "nothing"
        raise InputError(f"only: choose from {', '.join(there)}; got {got}{near}")
    left_out = [name for name in models if name not in only]
    if left_out:
        raise InputError(
            f"only: {', '.join(left_out)} is left out, which your model is to tell: name it there too"
        )
    return only
