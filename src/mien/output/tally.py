"""Who was seen when, and what was told of them over many frames, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mien.attribute import Attribute

_GAP_S = 1.0


def gap_for(step_s: float) -> float:
    """How long somebody may be away, seconds, before a new appearance begins, where frames are so far apart."""
    return max(_GAP_S, 1.5 * step_s)


@dataclass(slots=True)
class Tally:
    """Sums over frames, by attribute: of numbers with how many there were, of the probabilities of labels."""

    numbers: dict[str, tuple[float, int]] = field(default_factory=dict)
    labels: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, attribute: Attribute, fields: Mapping[str, object]) -> None:
        """Takes what one frame tells of an attribute, as it stands in JSON."""
        value, probs = fields.get(attribute.name), fields.get(f"{attribute.name}_probs")
        if isinstance(value, float | int):
            total, count = self.numbers.get(attribute.name, (0.0, 0))
            self.numbers[attribute.name] = total + value, count + 1
        if isinstance(probs, Mapping):
            _pile(self.labels.setdefault(attribute.name, {}), probs)

    def add(self, other: Tally) -> None:
        """Takes in what another one holds."""
        for name, (total, count) in other.numbers.items():
            so_far, counted = self.numbers.get(name, (0.0, 0))
            self.numbers[name] = so_far + total, counted + count
        for name, sums in other.labels.items():
            _pile(self.labels.setdefault(name, {}), sums)

    def mean(self, attribute: Attribute) -> float | None:
        """The mean of a number."""
        total, count = self.numbers.get(attribute.name, (0.0, 0))
        return total / count if count else None

    def shares(self, attribute: Attribute) -> dict[str, float]:
        """The mean probability of each label, to 4 digits; empty where nothing was told."""
        sums = self.labels.get(attribute.name, {})
        total = sum(sums.values())
        return (
            {label: round(value / total, 4) for label, value in sums.items()}
            if total
            else {}
        )

    def top(self, attribute: Attribute) -> str | None:
        """The label that was likeliest over all."""
        sums = self.labels.get(attribute.name)
        return max(sums, key=lambda label: sums[label]) if sums else None


@dataclass(slots=True)
class Appearance:
    """When somebody was seen: `spans` are [from, to] seconds; in how many frames; `tally` is what was told of them."""

    spans: list[list[float]] = field(default_factory=list)
    frames: int = 0
    tally: Tally = field(default_factory=Tally)

    def see(self, time_s: float, *, gap_s: float) -> None:
        """One more frame: who was away for longer than `gap_s` appears anew."""
        if self.spans and time_s - self.spans[-1][1] <= gap_s:
            self.spans[-1][1] = time_s
        else:
            self.spans.append([time_s, time_s])
        self.frames += 1

    def tell(
        self, attributes: Iterable[Attribute], fields: Mapping[str, object]
    ) -> None:
        """Takes what the frame tells of attributes, as it stands in JSON."""
        for attribute in attributes:
            self.tally.count(attribute, fields)


def _pile(onto: dict[str, float], more: Mapping[str, float]) -> None:
    for label, value in more.items():
        onto[label] = onto.get(label, 0.0) + value
