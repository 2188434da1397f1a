"""The report beside a model file: one HTML page with its figures, curves, confusion, calibration and worst mistakes."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mien import store
from mien.errors import MienError
from mien.output import charts, pages
from mien.text import printable
from mien.train.dataset import Dataset
from mien.train.evaluate import Measured, share_text
from mien.train.export import Card
from mien.train.faces import crop_of
from mien.train.features import Describer
from mien.train.learners import Curve

WORST = 24
_LARGEST_TABLE = 40  # classes
_THUMB = 112  # pixels


@dataclass(frozen=True, slots=True)
class Page:
    """What the report shows: a model's card, how it was measured on which pictures, which were left out and why,
    and `notes` on what the figures do not say by themselves."""

    card: Card
    measured: Measured
    data: Dataset
    skipped: tuple[str, ...]
    curve: Curve | None
    describer: Describer
    notes: tuple[str, ...] = ()

    def mistake(self, i: int) -> str:
        """One face that was told wrong, with what was said."""
        measured = self.measured
        item = self.data.items[int(measured.rows[i])]
        if measured.years is not None:
            said = f"{item.label} years, told {measured.errors[i]:.0f} off"
        else:
            guess = int(measured.guesses[i])
            said = f"{item.label}, told {measured.labels[guess]} ({measured.probs[i, guess]:.0%})"
        image = crop_of(self.describer.face(item.file), size=_THUMB, padding=0.25)
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
        data = base64.b64encode(code.tobytes()).decode()
        caption = f"{html.escape(said)}<br><span class='dim'>{html.escape(item.file.name)}</span>"
        return f'<figure><img alt="" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'

    def mistakes(self) -> str:
        """The faces told most wrongly."""
        places = self.measured.worst(WORST)
        if not len(places):
            return "<p>None.</p>"
        return (
            '<div class="faces">'
            + "".join(self.mistake(int(i)) for i in places)
            + "</div>"
        )

    def figures(self) -> str:
        """What was measured, and on what."""
        card = self.card
        rows: dict[str, object] = {
            name.replace("_", " "): value
            for name, value in self.measured.summary().items()
        }
        rows |= {
            "pictures of the data set": len(self.data),
            "seed": card.seed,
            "licence": card.licence,
        }
        rows |= {"sha256 of the data": card.data_sha256}
        note = "Measured on pictures that the measured model had not learnt from."
        notes = "".join(f"<p>{html.escape(text)}</p>" for text in self.notes)
        plain = [
            (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
            for name, value in rows.items()
        ]
        return f"{pages.dim(note)}{notes}{pages.table((), plain)}"

    def sections(self) -> Iterator[str]:
        """The report, part by part."""
        measured = self.measured
        yield self.figures()
        if self.curve is not None:
            yield "<h2>Learning</h2>" + self.learning(self.curve)
        if measured.years is not None:
            yield "<h2>Told and true age</h2>" + self.ages()
        else:
            if len(measured.labels) <= _LARGEST_TABLE:
                yield "<h2>Confusion</h2>" + self.confusion()
            yield "<h2>Classes</h2>" + self.classes()
            yield "<h2>Calibration</h2>" + self.calibration()
        yield "<h2>Gravest mistakes</h2>" + self.mistakes()
        if self.skipped:
            rows = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.skipped)
            yield f"<h2>Pictures left out</h2><ul>{rows}</ul>"

    def learning(self, curve: Curve) -> str:
        """How it learnt."""
        log_x = curve.x_name == "penalty"
        x = [math.log10(v) for v in curve.x] if log_x else list(curve.x)
        name = "log10 of the penalty" if log_x else curve.x_name
        return charts.chart(
            {label: list(zip(x, y, strict=True)) for label, y in curve.lines.items()},
            x_name=name,
        )

    def ages(self) -> str:
        """What was told beside the true age."""
        if self.measured.years is None:
            return ""
        told = self.measured.probs @ np.array(
            [float(label) for label in self.measured.labels]
        )
        points = [
            (float(t), float(g)) for t, g in zip(self.measured.years, told, strict=True)
        ]
        return charts.chart(
            {"told": points}, x_name="true age, years", dots=True, diagonal=True
        )

    def confusion(self) -> str:
        """How many of each class were told as which."""
        table = self.measured.confusion()
        head = "".join(
            f"<th>{html.escape(label)}</th>" for label in self.measured.labels
        )
        rows = []
        for label, counts in zip(self.measured.labels, table, strict=True):
            total = max(1, int(counts.sum()))
            cells = "".join(
                f'<td class="cell" style="--share:{c / total:.3f}">{c or ""}</td>'
                for c in counts
            )
            rows.append(f"<tr><td>{html.escape(label)}</td>{cells}</tr>")
        caption = pages.dim("Rows are the truth, columns the answers.")
        drawn = (
            f'<table class="confusion"><tr><th></th>{head}</tr>{"".join(rows)}</table>'
        )
        return f'{caption}<div class="wide">{drawn}</div>'

    def classes(self) -> str:
        """How much of each class was found, and how much of what was told is right."""
        rows = [
            (row.label, row.pictures, share_text(row.recall), share_text(row.precision))
            for row in self.measured.per_class()
        ]
        return pages.table(("class", "pictures", "recall", "precision"), rows)

    def calibration(self) -> str:
        """How right it is beside how sure it is."""
        points = [(sure, right) for sure, right, _ in self.measured.calibration()]
        error = f"{self.measured.calibration_error:.3f}"
        text = f"Expected calibration error {error}; on the diagonal it is as right as it is sure."
        chart = charts.chart(
            {"share of right answers": points},
            x_name="certainty",
            dots=True,
            diagonal=True,
        )
        return pages.dim(text) + chart


def write(file: Path, page: Page) -> None:
    """Writes the report.

    Raises:
        MienError: The place cannot be written.
    """
    try:
        store.write_atomically(file, printable(render(page)).encode())
        file.chmod(0o644)
    except OSError as exc:
        raise MienError(f"cannot write {file}: {exc.strerror or exc}") from exc


def render(page: Page) -> str:
    """The whole page; it loads nothing from anywhere."""
    title = f"{page.card.architecture}: {page.data.name}"
    return pages.page(title, "\n".join(page.sections()))
