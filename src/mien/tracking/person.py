"""What is known of one tracked person: appearance, votes for names, smoothed age and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mien.attribute import Attribute, Estimate
from mien.types import F32

NAME_HALF_LIFE_S = 6.0
_LONGEST_MEMORY = 12.0  # weight of observations: older ones fade out of the means behind this many full ones
_LASTING_MEMORY = 200.0  # the same for age and the like: a minute of another pose must not make anybody younger
_SURE = 0.45  # weight of votes from which a name is shown
_SHARE = 0.6  # of all votes, to be shown
_WELL_SEEN = (
    8  # observations, from which more of them do not make looks that differ agree
)
_NEWS = 0.15  # of its probabilities, by which a face must look otherwise than before to be worth the next look soon


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a face: its weight 0 to 1, descriptor (D,) if who it is was asked for, what each attribute's model
    tells of it, and who the gallery says it is (None: nobody near enough) at which distance, Euclidean (NaN: nobody
    enrolled)."""

    time_s: float
    weight: float
    embedding: F32 | None
    told: Mapping[str, Estimate] = field(default_factory=dict)
    name: str | None = None
    distance: float = float("nan")

    def worth(self, tolerance: float) -> float:
        """Of its vote: the nearer the more; less for nobody, since a face half covered or turned away is nobody too."""
        if self.name is None:
            return 0.4
        return 0.6 + (max(0.0, 1 - self.distance / tolerance) if tolerance > 0 else 0.0)


@dataclass(slots=True)
class TrackedPerson:
    """Grows with every observation. `id` is the track id; nobody is sure whose observations are usually
    further than `steady` from their mean."""

    id: int
    steady: float
    observations: int = 0
    observed_s: float = -1e9
    glance_s: float = -1e9  # when it was last seen what the face looks like, by an observation or by less than one
    weight: float = 0.0
    total: float = 0.0  # weight of observations, for what stays as it is
    quality: float = float("nan")  # of the last observation
    embedding: F32 | None = None
    spread: float = 0.0  # smoothed distance of observations from the mean before them
    news: float = 1.0  # how much of what changes was otherwise at the last look, 0 to 1
    told: dict[str, Estimate] = field(default_factory=dict)
    votes: dict[str | None, float] = field(default_factory=dict)
    distances: dict[str | None, float] = field(default_factory=dict)
    name: str | None = None

    def learn(
        self, observation: Observation, tolerance: float, *, at_once: bool = False
    ) -> None:
        """Takes one more observation into the means and votes; its name is believed `at_once`, as that of a photo."""
        self.glance(observation.told, observation.time_s, observation.weight)
        mean = (
            None
            if observation.embedding is None
            else self.mean(observation.embedding, observation.weight)
        )
        self.total = min(self.total + observation.weight, _LASTING_MEMORY)
        self.quality = observation.weight
        self.weight = min(self.weight + observation.weight, _LONGEST_MEMORY)
        if self.observations and observation.embedding is not None:
            self.spread += max(0.3, 1 / self.observations) * (
                self.apart(observation.embedding) - self.spread
            )
        self.embedding = self.embedding if mean is None else mean
        self._vote(observation, tolerance)
        if at_once and observation.name is not None:
            self.name = observation.name
        self.observations += 1
        self.observed_s = observation.time_s

    def mean(self, embedding: F32, weight: float) -> F32:
        """The mean descriptor (D,) with one more observation of this weight."""
        return _mix(self.embedding, embedding, weight / (self.weight + weight))

    def glance(
        self, told: Mapping[str, Estimate], time_s: float, weight: float
    ) -> None:
        """Takes in what the face looks like; who it is stays what it was.

        Of an attribute that changes, half of the mean is renewed in one half-life, by as much as this is worth beside
        a usual observation; of one that stays, each observation counts by its weight.
        """
        passed = max(0.0, time_s - self.glance_s)
        self.news = max((self._news(new) for new in told.values()), default=1.0)
        for name, new in told.items():
            if new.known and new.attribute.half_life_s is None:
                self._hear(name, new, weight / (self.total + weight))
            elif new.known and new.attribute.half_life_s is not None:
                lives = passed / new.attribute.half_life_s * min(1.0, 0.4 + weight)
                self._hear(name, new, float(1 - 0.5**lives))
        self.glance_s = time_s

    def _news(self, new: Estimate) -> float:
        """How much of an attribute's probabilities, if it changes, lies elsewhere than in the mean; 1: unknown."""
        old = self.told.get(new.attribute.name)
        if not new.known or not new.attribute.momentary:
            return 0.0
        if old is None or old.attribute != new.attribute or not new.attribute.labels:
            return 1.0
        return float(np.abs(new.scores - old.scores).sum()) / 2

    def _hear(self, name: str, new: Estimate, share: float) -> None:
        """Mixes what an observation tells of one attribute into its mean; another model's answers begin a new one."""
        old = self.told.get(name)
        mean = (
            old.scores if old is not None and old.attribute == new.attribute else None
        )
        self.told[name] = Estimate(new.attribute, _mix(mean, new.scores, share))

    def _vote(self, observation: Observation, tolerance: float) -> None:
        fade = (
            0.5 ** (max(0.0, observation.time_s - self.observed_s) / NAME_HALF_LIFE_S)
            if self.observations
            else 1.0
        )
        self.votes = {name: vote * fade for name, vote in self.votes.items()}
        self.votes[observation.name] = self.votes.get(
            observation.name, 0.0
        ) + observation.weight * observation.worth(tolerance)
        if not np.isnan(observation.distance):
            known = self.distances.get(observation.name, observation.distance)
            self.distances[observation.name] = known + 0.3 * (
                observation.distance - known
            )
        self._decide()

    def _decide(self) -> None:
        best = max(self.votes, key=lambda name: self.votes[name])
        total = sum(self.votes.values())
        if self.votes[best] >= _SHARE * total and (
            best is None or self.votes[best] >= _SURE
        ):
            self.name = best

    def join(self, other: TrackedPerson) -> None:
        """Takes in what was learnt of the same person under another id."""
        share = other.weight / max(1e-6, self.weight + other.weight)
        if other.embedding is not None:
            self.embedding = _mix(self.embedding, other.embedding, share)
        for name, vote in other.votes.items():
            self.votes[name] = self.votes.get(name, 0.0) + vote
        self.distances |= other.distances
        self.total = min(self.total + other.total, _LASTING_MEMORY)
        self.told |= other.told
        self.observations, self.observed_s, self.glance_s = (
            self.observations + other.observations,
            other.observed_s,
            other.glance_s,
        )
        self._decide()

    @property
    def sure(self) -> bool:
        """Whether one more observation would hardly change what is said of this person."""
        if self.observations < 3 or self.spread > self.steady:
            return False
        return self._decided

    @property
    def well_seen(self) -> bool:
        """Whether it is sure, or its looks keep differing while nobody else comes into question: who turns the head to
        and fro is not better known for being looked at more often."""
        return self.sure or (self.observations >= _WELL_SEEN and self._decided)

    @property
    def calm(self) -> bool:
        """Whether the last look showed what was known already."""
        return self.news < _NEWS

    @property
    def _decided(self) -> bool:
        if not self.distances:  # nobody is enrolled who it may be
            return True
        return max(self.votes.values()) >= max(
            2 * _SURE, 0.8 * sum(self.votes.values())
        )

    @property
    def support(self) -> float:
        """How much speaks for the name."""
        return self.votes.get(self.name, 0.0)

    @property
    def distance(self) -> float:
        """The smoothed distance to the named person, or to the nearest one where there is no name; NaN if unknown."""
        return self.distances.get(self.name, float("nan"))

    def row(self, attribute: Attribute) -> F32:
        """A smoothed attribute (K,); NaN where nobody looked yet."""
        told = self.told.get(attribute.name)
        if told is None or (
            told.attribute is not attribute and told.attribute != attribute
        ):
            return np.full(attribute.size, np.nan, np.float32)
        return told.scores

    def apart(self, embedding: F32 | None) -> float:
        """The distance of a descriptor from this person's mean; infinite before one is known, NaN without."""
        if embedding is None:
            return float("nan")
        return (
            float("inf")
            if self.embedding is None
            else float(np.linalg.norm(self.embedding - embedding))
        )


def _mix(mean: F32 | None, new: F32, share: float) -> F32:
    return (
        new
        if mean is None
        else np.asarray(mean + np.float32(share) * (new - mean), dtype=np.float32)
    )
