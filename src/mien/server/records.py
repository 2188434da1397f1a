"""The shapes of the API besides those of results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from mien.about import Kept
from mien.attribute import Attribute
from mien.gallery import CounterExample, KeptPhoto, Person, Photo
from mien.gallery.unknown import Group, Undone
from mien.models.attributes.heads import BUILT_IN, EMOTION
from mien.server.jobs.results import InVideo
from mien.server.jobs.store import Job
from mien.server.people import Seen
from mien.server.problems import TITLES, ProblemRecord
from mien.server.rules import Known
from mien.server.watching import Watched
from mien.text import shown
from mien.watch.counts import Counts
from mien.watch.store import KeptVisit

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]

# Server-sent events: each has a name, JSON, and of visits the number of the change.
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "event": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
        }
    }
}


class VerificationRecord(BaseModel):
    """Two faces compared. What was not measured for the service's embedder is null."""

    distance: float = Field(description="Of the two faces; 0 is the same picture.")
    tolerance: float = Field(description="The largest distance of one person.")
    same: bool = Field(description="Whether the distance is within the tolerance.")
    probability: float | None = Field(
        description="That they are one person, if that is as likely beforehand as not."
    )
    false_match_rate: float | None = Field(
        description="The share of pairs of strangers that are nearer than this."
    )
    false_non_match_rate: float | None = Field(
        description="The share of one person's pairs that are farther apart."
    )


class PersonRecord(BaseModel):
    """Somebody in the gallery."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "3f0c5b2a9d7e4c61b8a1f2e3d4c5b6a7",
                "name": "Ada Lovelace",
                "photos": 2,
            }
        }
    )

    id: str = Field(
        description="Stays when the name changes (in a folder gallery the name is the identity)."
    )
    name: str
    photos: int = Field(description="How many photos are enrolled.")

    @classmethod
    def of(cls, person: Person) -> PersonRecord:
        return cls(id=person.id, name=person.name, photos=person.photos)


class KeptRecord(BaseModel):
    """Something that is kept about a person."""

    what: str = Field(
        description="photo, cached descriptor, who it is not, face of a named group, visit, clip of a visit, "
        "seen in another's visit, photo left by reembed, result of a job."
    )
    source: str = Field(description="The picture, camera or file that it is of.")
    since: datetime | None
    until: datetime | None = Field(
        description="When it is deleted; null: not by itself."
    )
    picture: bool = Field(description="Whether a picture is kept with it.")


class AboutRecord(BaseModel):
    """All that is kept about a person."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Ada Lovelace",
                "kept": [
                    {
                        "what": "photo",
                        "source": "ada.jpg",
                        "since": "2026-01-05T10:00:00Z",
                        "until": None,
                        "picture": True,
                    }
                ],
            }
        }
    )

    name: str
    kept: list[KeptRecord]

    @classmethod
    def of(cls, name: str, kept: Iterable[Kept]) -> AboutRecord:
        return cls(
            name=name,
            kept=[
                KeptRecord(
                    what=one.what,
                    source=PurePath(one.source).name,
                    since=_time(one.since),
                    until=_time(one.until),
                    picture=one.picture,
                )
                for one in kept
            ],
        )


class VerdictRecord(BaseModel):
    """What a photo adds to a person."""

    source: str = Field(description="The picture, as it was called when sent.")
    verdict: str = Field(
        description="good, too small, blurred, turned away, far from the others, already there."
    )
    quality: float = Field(description="How much the look is worth, 0 to 1.")


class EnrolledRecord(PersonRecord):
    """Somebody in the gallery, and what each photo that was sent adds."""

    verdicts: list[VerdictRecord]

    @classmethod
    def told(
        cls, person: Person, photos: Iterable[Photo], verdicts: Iterable[str]
    ) -> EnrolledRecord:
        return cls(
            id=person.id,
            name=person.name,
            photos=person.photos,
            verdicts=[
                VerdictRecord(
                    source=photo.source,
                    verdict=verdict,
                    quality=round(photo.quality, 3),
                )
                for photo, verdict in zip(photos, verdicts, strict=True)
            ],
        )


class PeopleRecord(BaseModel):
    """Everybody in the gallery, by name."""

    people: list[PersonRecord]


class PhotoRecord(BaseModel):
    """A photo of somebody in the gallery."""

    sha256: str = Field(description="What the photo is known by.")
    source: str = Field(description="The name of its file.")
    added: datetime
    quality: float | None = Field(
        description="How much the look is worth, 0 to 1; null where nobody is found in it."
    )
    weight: float = Field(
        description="1 counts fully, less must be nearer; 0 does not count: unlike the others."
    )
    thumbnail: str | None = Field(
        description="Where a small JPEG of the face is; null where none was kept."
    )
    wrong: str = Field(description="What is wrong with the file, if anything.")

    @classmethod
    def of(cls, person_id: str, photo: KeptPhoto) -> PhotoRecord:
        place = f"/v1/people/{person_id}/photos/{photo.sha256}/thumbnail"
        return cls(
            sha256=photo.sha256,
            source=photo.source,
            added=datetime.fromtimestamp(photo.added, UTC),
            quality=None if photo.quality is None else round(photo.quality, 3),
            weight=round(photo.weight, 3),
            thumbnail=place if photo.thumbnail else None,
            wrong=photo.wrong,
        )


class PhotosRecord(BaseModel):
    """A person's photos, in the order of enrolment."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "photos": [
                    {
                        "sha256": "5f0c…",
                        "source": "ada.jpg",
                        "added": "2026-01-05T10:00:00Z",
                        "quality": 0.93,
                        "weight": 1.0,
                        "thumbnail": "/v1/people/3f0c5b2a9d7e4c61b8a1f2e3d4c5b6a7/photos/5f0c…/thumbnail",
                        "wrong": "",
                    }
                ]
            }
        }
    )

    photos: list[PhotoRecord]


class CounterExampleRecord(BaseModel):
    """A face that is not somebody."""

    id: str
    source: str = Field(description="The picture it is from, as the service knows it.")
    added: datetime
    thumbnail: str | None = Field(description="Where a small JPEG of it is.")


class CounterExamplesRecord(BaseModel):
    """Faces that are not somebody."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "faces": [
                    {
                        "id": "3f0c5b2a9d7e",
                        "source": "party.jpg",
                        "added": "2026-01-05T10:00:00Z",
                        "thumbnail": None,
                    }
                ]
            }
        }
    )

    faces: list[CounterExampleRecord]

    @classmethod
    def of(
        cls, person_id: str, examples: Iterable[CounterExample]
    ) -> CounterExamplesRecord:
        home = f"/v1/people/{person_id}/not"
        return cls(
            faces=[
                CounterExampleRecord(
                    id=one.id,
                    source=one.source,
                    added=datetime.fromtimestamp(one.added, UTC),
                    thumbnail=f"{home}/{one.id}/thumbnail" if one.thumbnail else None,
                )
                for one in examples
            ]
        )


class FoundFaceRecord(BaseModel):
    """A face that was seen before."""

    distance: float = Field(description="To the face that was sent.")
    same: bool = Field(description="Near enough to be the same person.")
    probability: float | None = Field(
        description="That it is the same person: the more were compared, the less. Null: not measured."
    )
    name: str | None
    person: str | None = Field(description="The id of the person it is enrolled for.")
    group: str | None = Field(description="The unknown person it is a face of.")
    source: str = Field(description="The picture it is from, as the service knows it.")
    place: str = Field(
        description="Where it was found: people, unknown, or the name of a batch result."
    )
    time_s: float = Field(description="Of a film: the time of the frame.")
    thumbnail: str | None = Field(description="Where a small JPEG of it is.")

    @classmethod
    def of(cls, seen: Seen) -> FoundFaceRecord:
        found = seen.found
        home = f"/v1/people/{seen.person}/photos/{found.key}/thumbnail"
        picture = f"/v1/unknown/faces/{found.key}" if found.group is not None else home
        return cls(
            distance=found.distance,
            same=seen.same,
            probability=found.probability,
            name=found.name,
            person=seen.person,
            group=found.group,
            source=found.source,
            place=found.place,
            time_s=found.time_s,
            thumbnail=picture if seen.pictured else None,
        )


class FoundRecord(BaseModel):
    """The faces nearest to one that was sent, the nearest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "found": [
                    {
                        "distance": 0.31,
                        "same": True,
                        "probability": 0.999,
                        "name": "Ada Lovelace",
                        "person": "3f0c5b2a9d7e4c61b8a1f2e3d4c5b6a7",
                        "group": None,
                        "source": "ada.jpg",
                        "place": "people",
                        "time_s": 0.0,
                        "thumbnail": "/v1/people/3f0c5b2a9d7e4c61b8a1f2e3d4c5b6a7/photos/5f0c…/thumbnail",
                    }
                ]
            }
        }
    )

    found: list[FoundFaceRecord]


class RenameRecord(BaseModel):
    """A person's new name."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "Ada King"}}
    )

    name: Name


class MergeRecord(BaseModel):
    """Whom to merge into: that person gets all photos."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"into": "9d7e4c61b8a1f2e33f0c5b2ad4c5b6a7"}},
    )

    into: str = Field(max_length=64)


class UnknownFaceRecord(BaseModel):
    """A face nobody owns."""

    id: int
    source: str = Field(description="The picture or stream it was seen in, as given.")
    seen: datetime
    expires: datetime = Field(description="When it is deleted.")
    picture: bool = Field(
        description="Whether `/v1/unknown/faces/{id}` has a picture of it."
    )


class GroupRecord(BaseModel):
    """Faces of one person whom nobody has named."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "3f0c5b2a9d7e",
                "by_hand": False,
                "first_seen": "2026-01-05T10:00:00Z",
                "last_seen": "2026-01-07T08:30:00Z",
                "faces": [
                    {
                        "id": 12,
                        "source": "party.jpg",
                        "seen": "2026-01-07T08:30:00Z",
                        "expires": "2026-02-06T08:30:00Z",
                        "picture": True,
                    }
                ],
            }
        }
    )

    id: str
    by_hand: bool = Field(
        description="Split or merged by somebody: it only grows from then on."
    )
    first_seen: datetime
    last_seen: datetime
    faces: list[UnknownFaceRecord] = Field(description="The newest first.")

    @classmethod
    def of(cls, group: Group) -> GroupRecord:
        return cls(
            id=group.id,
            by_hand=group.by_hand,
            first_seen=datetime.fromtimestamp(group.first_seen, UTC),
            last_seen=datetime.fromtimestamp(group.last_seen, UTC),
            faces=[
                UnknownFaceRecord(
                    id=face.id,
                    source=face.source,
                    seen=datetime.fromtimestamp(face.seen, UTC),
                    expires=datetime.fromtimestamp(face.expires, UTC),
                    picture=face.thumbnail,
                )
                for face in group.faces
            ],
        )


class GroupsRecord(BaseModel):
    """Everybody who was seen often enough and is in no gallery."""

    days: float | None = Field(
        description="For how long faces are kept; null where none are kept any more."
    )
    waiting: int = Field(
        description="Faces kept that are in no group of three or more yet."
    )
    groups: list[GroupRecord]


class SplitRecord(BaseModel):
    """Which faces of a group are somebody else."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"faces": [12, 15]}}
    )

    faces: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        min_length=1, max_length=1000
    )


class GroupMergeRecord(BaseModel):
    """The group that is the same person."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"into": "8e1b7c6d5a4f"}}
    )

    into: str = Field(max_length=64)


class UndoneRecord(BaseModel):
    """What was taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"kind": "name", "group": "3f0c5b2a9d7e", "name": "Ada Lovelace"}
        }
    )

    kind: Literal["name", "split", "merge"]
    group: str
    name: str | None = Field(description="The name that was given.")

    @classmethod
    def of(cls, done: Undone) -> UndoneRecord:
        return cls(kind=done.kind, group=done.group, name=done.name or None)  # type: ignore[arg-type]


class JobRecord(BaseModel):
    """A video or stream being analysed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0b7d6f5e4c3b2a190817263544536271",
                "kind": "video",
                "source": "party.mp4",
                "state": "running",
                "frames": 120,
                "total": 472,
                "progress": 0.254,
                "faces": 233,
                "draw": True,
                "created": "2026-01-05T10:00:00Z",
                "started": "2026-01-05T10:00:01Z",
                "finished": None,
                "problem": None,
            }
        }
    )

    id: str
    kind: Literal["video", "stream"]
    source: str
    state: Literal["queued", "running", "done", "failed"]
    frames: int = Field(description="Frames behind us.")
    total: int | None = Field(description="Frames in all, where the video tells.")
    progress: float | None = Field(
        description="0 to 1, where the video tells its length."
    )
    faces: int = Field(description="Faces found, counted in every frame.")
    draw: bool = Field(description="Whether an annotated video is made.")
    created: datetime
    started: datetime | None
    finished: datetime | None
    problem: ProblemRecord | None = Field(description="Why it failed.")

    @classmethod
    def of(cls, job: Job) -> JobRecord:
        return cls(
            id=job.id,
            kind="stream" if job.kind == "stream" else "video",
            source=job.source,
            state=job.state,  # type: ignore[arg-type]
            frames=job.frames,
            total=job.total,
            progress=(
                1.0
                if job.state == "done"
                else (round(min(1.0, job.frames / job.total), 4) if job.total else None)
            ),
            faces=job.faces,
            draw=bool(job.options.get("draw")),
            created=datetime.fromtimestamp(job.created, UTC),
            started=_time(job.started),
            finished=_time(job.finished),
            problem=_problem(job),
        )


class JobsRecord(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobRecord]


class AppearanceRecord(BaseModel):
    """When one person is to be seen in a video.

    Besides, by the attributes that the service tells: the mean of a number (`age`), the likeliest label (`gender`),
    or of what changes the mean probability of each label, the likeliest first (`emotions`).
    """

    model_config = ConfigDict(extra="allow")

    name: str | None = Field(
        description="None for a face nobody in the gallery is near enough to."
    )
    tracks: list[int]
    spans: list[tuple[float, float]] = Field(description="From and to, seconds.")
    frames: int

    @classmethod
    def of(cls, row: InVideo, attributes: Iterable[Attribute]) -> AppearanceRecord:
        spans = [(round(start, 3), round(end, 3)) for start, end in row.spans]
        known = {
            "name": row.name,
            "tracks": sorted(row.tracks),
            "spans": spans,
            "frames": row.frames,
        }
        return cls.model_validate({**known, **row.about(attributes)})


class TimelineRecord(BaseModel):
    """Who appears when; the longest seen first."""

    people: list[AppearanceRecord]


class UrlRecord(BaseModel):
    """What to fetch, and for streams how long to look."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"url": "https://example.org/party.jpg"}},
    )

    url: str = Field(min_length=1, max_length=2048)
    seconds: float | None = Field(
        None, gt=0, description="How long to look at a stream; the service has a limit."
    )
    draw: bool = False


class LegacyRecord(BaseModel):
    """The answer of the system this one follows: parallel lists, one entry per face."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "Name": ["Ada Lovelace"],
                "Sex": ["Female"],
                "Age": ["(25, 32){87%}"],
                "Emotion": ["Happiness"],
            }
        }
    )

    Name: list[str]
    Sex: list[str]
    Age: list[str]
    Emotion: list[str]


class AttributeRecord(BaseModel):
    """What can be told of a face, for whoever shows it."""

    name: str
    labels: list[str] = Field(description="What it tells one of; empty: a number.")
    groups: str | None = Field(
        description="The field with the group a number lies in, where there are groups."
    )
    plural: str = Field(
        description="The field of a timeline that has the share of each label, where it is momentary."
    )
    momentary: bool = Field(
        description="Whether it changes from one moment to the next."
    )
    show: str = Field(description="What is said of it, of {name} and {value}.")
    colours: dict[str, str] = Field(description="Of labels, #rrggbb.")
    caution: str = Field(description="What it must not be used for.")

    @classmethod
    def of(cls, attribute: Attribute) -> AttributeRecord:
        return cls(
            name=attribute.name,
            labels=list(attribute.labels),
            groups=None if attribute.groups is None else attribute.groups.name,
            plural=attribute.plural,
            momentary=attribute.momentary,
            show=attribute.show,
            colours={
                label: "#{:02x}{:02x}{:02x}".format(*rgb)
                for label, rgb in attribute.colours.items()
            },
            caution=attribute.caution,
        )


class ServerRecord(BaseModel):
    """What this service can do, for the page and for clients."""

    version: str
    role: Literal["read", "analyse", "admin"] = Field(
        description="What the caller may do."
    )
    parts: list[str] = Field(description="What is computed: identity and attributes.")
    attributes: list[AttributeRecord] = Field(
        description="What is told of faces, in the order in which it is said."
    )
    gallery: bool
    keep_unknown_days: float | None = Field(
        description="For how long faces nobody owns are kept; null: they are not."
    )
    urls: bool
    watching: bool = Field(description="Whether cameras are watched.")
    image_bytes: int
    video_bytes: int
    files: int
    jobs_kept_s: float


_MODEL: dict[str, JsonValue] = {
    "name": "moods",
    "attribute": EMOTION.name,
    "labels": ["Angry", "Calm", "Happy", "Sad"],
    "licence": "CC0-1.0",
    "active": True,
    "error": None,
}


class ModelRecord(BaseModel):
    """A model file that can be chosen."""

    model_config = ConfigDict(json_schema_extra={"example": _MODEL})

    name: str = Field(description="The file's name without .onnx.")
    attribute: str | None = Field(
        description="What it tells, by its metadata or its labels."
    )
    labels: list[str]
    licence: str | None
    active: bool = Field(description="Whether it tells something now.")
    error: str | None = Field(description="Why it cannot be used.")


class ModelsRecord(BaseModel):
    """The model files there are, by name, and which of them tell what."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "models": [_MODEL],
                "serving": {
                    name: "moods" if name == EMOTION.name else None
                    for name in sorted(BUILT_IN)
                },
            }
        }
    )

    models: list[ModelRecord]
    serving: dict[str, str | None] = Field(
        description="The chosen model file of each attribute; null: what the service was started with."
    )


class ChoiceRecord(BaseModel):
    """The model file to use from now on."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"model": "moods"}}
    )

    model: str | None = Field(
        max_length=255,
        description="As listed; null: what the service was started with.",
    )


class StateRecord(BaseModel):
    """How the service is."""

    status: Literal["ok", "ready", "stopping"]


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _problem(job: Job) -> ProblemRecord | None:
    if job.problem is None:
        return None
    status, title = TITLES[job.problem["kind"]]
    kind = f"urn:mien:problem:{job.problem['kind']}"
    return ProblemRecord(
        type=kind,
        title=title,
        status=status,
        detail=job.problem["detail"],
        request_id=None,
        errors=None,
    )


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ZoneRecord(BaseModel):
    """A part of the picture, as points (x, y) in parts of its width and height: to look at, or to leave out."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(max_length=100)] = ""
    look: list[tuple[float, float]] | None = Field(None, max_length=100)
    leave_out: list[tuple[float, float]] | None = Field(None, max_length=100)


class CameraChangeRecord(BaseModel):
    """What is to be different of a camera."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"flip": True}}
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    source: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        None, description="Its address, rtsp:// with user:password@ where needed."
    )
    turn: Literal[0, 90, 180, 270] | None = Field(None, description="Clockwise.")
    flip: bool | None = Field(None, description="Left and right.")
    zones: list[ZoneRecord] | None = Field(None, max_length=20)
    least_face: int | None = Field(
        None, ge=0, le=10_000, description="Smaller faces, in pixels, do not count."
    )
    hours: list[Annotated[str, StringConstraints(max_length=60)]] | None = Field(
        None, max_length=20, description="When it is watched; empty: always."
    )

    def said(self) -> dict[str, object]:
        """What was given."""
        given = self.model_dump(exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None}


class CameraOrderRecord(CameraChangeRecord):
    """A camera that is to be watched."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "door", "source": "rtsp://203.0.113.7/stream1"}
        },
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    source: Annotated[str, StringConstraints(max_length=2000)] = Field(
        description="Its address, rtsp:// with user:password@ where needed."
    )


class CameraRecord(BaseModel):
    """A camera and how it does."""

    id: str
    name: str
    source: str = Field(description="Without its password.")
    editable: bool = Field(description="False of those in the service's file.")
    state: Literal["starting", "up", "down", "off", "ended"]
    since: float = Field(description="Of the state, in seconds since 1970.")
    why: str = Field(description="It is down or off; else empty.")
    fps: float = Field(description="Pictures that come in a second.")
    delay_s: float | None = Field(description="From picture to event.")
    last_picture: float | None = Field(description="In seconds since 1970.")
    looked_at: int = Field(description="Pictures looked at so far.")
    turn: int
    flip: bool
    least_face: int
    hours: list[str]
    zones: list[ZoneRecord]

    @classmethod
    def of(cls, watched: Watched) -> CameraRecord:
        camera, state = watched.camera, watched.state
        zones = [ZoneRecord.model_validate(zone.model_dump()) for zone in camera.zones]
        source = str(camera.source)
        if "://" not in source:  # nobody else's business where films are
            source = PurePath(source).name
        return cls(
            id=watched.id,
            name=camera.name,
            source=shown(source),
            editable=not watched.fixed,
            state=state.state,
            since=state.since,
            why=state.why,
            fps=state.fps,
            delay_s=state.delay_s,
            last_picture=state.last_picture,
            looked_at=state.looked_at,
            turn=camera.turn,
            flip=camera.flip,
            least_face=camera.least_face,
            hours=[hours.text for hours in camera.hours],
            zones=zones,
        )


class CamerasRecord(BaseModel):
    """All cameras."""

    watching: bool = Field(description="Whether the service watches at all.")
    cameras: list[CameraRecord]


class VisitRecord(BaseModel):
    """Somebody's stay before a camera. What else is told of them stands in fields of its own: age, gender, emotion."""

    model_config = ConfigDict(extra="allow")

    id: str
    number: int = Field(description="Of the last change; later ones are larger.")
    camera: str
    zone: str | None
    begin: datetime
    end: datetime | None = Field(description="Null while it goes on.")
    who: Literal["unsure", "known", "unknown"] | None = None
    person: str | None = None
    group: str | None = Field(
        default=None, description="The unknown person whose face was kept of it."
    )
    pictures: list[datetime] = Field(description="When each that is kept was taken.")
    clip: str | None = Field(
        default=None, description="Where the film of its beginning is, if one is kept."
    )

    @classmethod
    def of(cls, visit: KeptVisit, group: str | None = None) -> VisitRecord:
        return cls.model_validate({**visit.to_dict(), "group": group})


class VisitsRecord(BaseModel):
    """A page of visits."""

    keep_days: float | None = Field(
        description="How long they are kept; null or 0: not."
    )
    keep_pictures: Literal["none", "face", "frame"] = Field(
        description="What is kept of their best views."
    )
    next: int | None = Field(description="`before` of the page behind, if one is.")
    events: list[VisitRecord]


class SeriesRecord(BaseModel):
    """Counts by row and label: `counts` has a row for each of `rows`, and in it one count for each of `labels`."""

    rows: list[str]
    labels: list[str]
    counts: list[list[int]]


class GuestRecord(BaseModel):
    """A person who came: how often, for how long in all, when first and last, before which cameras."""

    name: str
    stays: int
    seconds: float
    first: datetime
    last: datetime
    cameras: list[str]


class CountsRecord(BaseModel):
    """Visits, counted. A stay is a visit, or several before different cameras with minutes between them."""

    visits: int
    stays: int
    crossed: int = Field(description="Stays that more than one camera saw.")
    first: datetime | None
    last: datetime | None
    people: list[GuestRecord]
    by_hour: SeriesRecord = Field(description="Of the day, 00 to 23.")
    by_day: SeriesRecord
    by_camera: SeriesRecord
    attributes: dict[str, SeriesRecord] = Field(
        description="By the plural of each: ages, genders, emotions."
    )
    units: dict[str, str] = Field(description="Of numbers.")

    @classmethod
    def of(cls, counts: Counts) -> CountsRecord:
        return cls.model_validate(counts.to_dict())


class RuleOrderRecord(BaseModel):
    """Whom to tell of which visits."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "strangers at night",
                "who": "unknown",
                "hours": ["22:00-6:00"],
                "url": "https://ntfy.example/door",
                "format": "text",
                "picture": True,
            }
        },
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    who: Literal["anybody", "known", "unknown"] | list[ShortText] = "anybody"
    cameras: list[ShortText] = Field([], max_length=64, description="Empty: all.")
    hours: list[ShortText] = Field([], max_length=20, description="Empty: always.")
    every_minutes: float = Field(
        0, ge=0, le=1e6, description="At most once of the same person and camera."
    )
    sightings: int = Field(0, ge=0, le=10**6, description="Before it speaks.")
    url: Annotated[str, StringConstraints(max_length=2000)] = Field(
        description="What is told: an http or https address."
    )
    format: Literal["json", "text"] = Field(
        "json",
        description="`text` is a line for people, once a visit, as ntfy takes it.",
    )
    picture: bool = Field(
        False, description="With `text`: the best picture too, where one is kept."
    )

    def said(self) -> dict[str, object]:
        return self.model_dump()


class RuleChangeRecord(BaseModel):
    """What is to be different of a rule."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"hours": ["22:00-6:00"]}}
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    who: Literal["anybody", "known", "unknown"] | list[ShortText] | None = None
    cameras: list[ShortText] | None = Field(None, max_length=64)
    hours: list[ShortText] | None = Field(None, max_length=20)
    every_minutes: float | None = Field(None, ge=0, le=1e6)
    sightings: int | None = Field(None, ge=0, le=10**6)
    url: Annotated[str, StringConstraints(max_length=2000)] | None = None
    format: Literal["json", "text"] | None = None
    picture: bool | None = None

    def said(self) -> dict[str, object]:
        """What was given."""
        given = self.model_dump(exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None}


class RuleRecord(BaseModel):
    """A rule."""

    id: str
    name: str
    who: Literal["anybody", "known", "unknown"] | list[str]
    cameras: list[str]
    hours: list[str]
    every_minutes: float
    sightings: int
    tells: list[str] = Field(description="Addresses, without their secrets.")
    editable: bool = Field(description="False of those in the service's file.")

    @classmethod
    def of(cls, known: Known) -> RuleRecord:
        rule = known.rule
        return cls(
            id=known.id,
            name=rule.name,
            who=rule.who if isinstance(rule.who, str) else list(rule.who),
            cameras=list(rule.cameras),
            hours=[hours.text for hours in rule.hours],
            every_minutes=rule.every_minutes,
            sightings=rule.sightings,
            tells=[shown(hook.url) for hook in known.hooks],
            editable=not known.fixed,
        )


class RulesRecord(BaseModel):
    """All rules."""

    rules: list[RuleRecord]


class RuleTestRecord(BaseModel):
    """Who was told."""

    told: dict[str, str | None] = Field(
        description="By address: null, or why it could not be told."
    )
