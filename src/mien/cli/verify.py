"""`mien verify`: are two faces one person?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mien.attribute import IDENTITY
from mien.cli import DONE, SOME_FAILED, new_app
from mien.cli.inputs import content_of, offering_largest
from mien.cli.options import SharedOptions, with_shared_options
from mien.errors import InputError
from mien.text import percent
from mien.verification import Verification

verify_app = new_app()


@verify_app.command()
@with_shared_options
def verify(
    shared: SharedOptions,
    one: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A photo with one face; - reads it from standard input."
        ),
    ],
    other: Annotated[str, typer.Argument(metavar="B", help="A photo with one face.")],
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces take the largest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell whether two photos show one person, and how often such an answer is right.

    Ends with 0 for one person, with 1 for two, with 2 where that cannot be told.

    Example: [bold]mien verify ada1.jpg ada2.jpg[/bold]
    """
    if one == other == "-":
        raise InputError("standard input holds one photo; name a file for the other")
    analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=None)
    with offering_largest():
        found = analyzer.verify(content_of(one), content_of(other), largest=largest)
    typer.echo(json.dumps(found.to_dict()) if as_json else "\n".join(told(found)))
    raise typer.Exit(DONE if found.same else SOME_FAILED)


def told(found: Verification) -> list[str]:
    """The answer as lines for people."""
    said = "the same person" if found.same else "two people"
    lines = [f"{said}: distance {found.distance:.3f}, tolerance {found.tolerance:g}"]
    if found.probability is not None:
        lines.append(
            f"{percent(found.probability, 1)} likely to be one person, if that is as likely beforehand as not"
        )
    if found.false_match_rate is not None and found.false_non_match_rate is not None:
        lines.append(
            f"of pairs of strangers {_rare(found.false_match_rate)} are nearer than this, "
            f"of pairs of one person {percent(found.false_non_match_rate, 1)} are farther apart"
        )
    return lines


def _rare(share: float) -> str:
    """A share in words: what is rarer than one in a million was not measured."""
    if share < 1e-6:
        return "fewer than one in a million"
    if share < 0.01:
        return f"one in {float(f'{1 / share:.2g}'):,.0f}"
    return percent(share)
