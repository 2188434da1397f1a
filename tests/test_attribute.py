"""What an attribute is, and what it tells of a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.attribute import Attribute, Estimate, Groups, Scores, from_json, to_json
from mien.errors import InputError
from mien.models.attributes.heads import (
    AGE,
    AGE_GROUPS,
    BUILT_IN,
    EMOTION,
    GENDER,
    described,
)

GLASSES = Attribute("glasses", labels=("no", "yes"), sure_from=0.8)
NOBODY_KNOWS = np.full(101, np.nan, np.float32)


def certain(age: int) -> Estimate:
    return Estimate(AGE, np.eye(101, dtype=np.float32)[age])


@pytest.mark.parametrize(
    ("age", "group"),
    [
        (0, "(0, 2)"),
        (3, "(4, 6)"),
        (10, "(8, 12)"),
        (18, "(15, 20)"),
        (30, "(25, 32)"),
        (100, "(60, 100)"),
    ],
)
def test_a_sure_age_falls_into_its_group(age: int, group: str) -> None:
    assert (certain(age).number, certain(age).group) == (age, group)
    assert certain(age).probs[group] == 1
    assert sum(certain(age).probs.values()) == pytest.approx(1)


def test_the_group_is_the_one_the_shown_age_lies_in() -> None:
    probs = np.zeros(101, np.float32)
    probs[[17, 23, 32]] = (
        0.5,
        0.1,
        0.4,
    )  # the likeliest group is (15, 20), the mean 23.6
    fields = Estimate(AGE, probs).fields()
    assert fields["age"] == pytest.approx(23.6)
    assert fields["age_group"] == "(25, 32)"
    assert AGE_GROUPS.of(22.9) == "(15, 20)"
    assert AGE_GROUPS.of(23.0) == "(25, 32)"


def test_a_model_that_knows_groups_only_keeps_its_top_one_and_tells_no_age() -> None:
    probs = np.float32([0, 0, 0.1, 0.2, 0.6, 0.1, 0, 0])
    told = Estimate(described("age", AGE_GROUPS.labels), probs)
    assert told.fields() == {
        "age": None,
        "age_group": "(25, 32)",
        "age_group_probs": dict(
            zip(
                AGE_GROUPS.labels, [0.0, 0.0, 0.1, 0.2, 0.6, 0.1, 0.0, 0.0], strict=True
            )
        ),
    }
    assert told.text == "(25, 32)"


def test_an_interval_holds_four_of_five() -> None:
    flat = Estimate(AGE, np.full(101, 1 / 101, np.float32))
    assert flat.interval == pytest.approx((10, 90), abs=0.5)
    low, high = certain(31).interval or (0, 0)
    assert 30.5 <= low < high <= 31.5
    assert certain(31).fields()["age_interval"] == [30.6, 31.4]


def test_of_a_face_nobody_knows_about_the_value_is_null_and_nothing_else_is_told() -> (
    None
):
    assert Estimate(AGE, NOBODY_KNOWS).fields() == {"age": None, "age_group": None}
    assert Estimate(GENDER, NOBODY_KNOWS[:2]).fields() == {"gender": None}
    assert Estimate(GENDER, NOBODY_KNOWS[:2]).text == ""


def test_a_label_that_is_not_sure_has_a_question_mark() -> None:
    sure, unsure = (
        Estimate(GLASSES, np.float32([0.1, 0.9])),
        Estimate(GLASSES, np.float32([0.4, 0.6])),
    )
    assert (sure.text, unsure.text) == ("glasses yes", "glasses yes?")
    assert (sure.fields()["glasses_sure"], unsure.fields()["glasses_sure"]) == (
        True,
        False,
    )
    assert (
        "glasses_sure"
        not in Estimate(
            replace(GLASSES, sure_from=0.0), np.float32([0.4, 0.6])
        ).fields()
    )


def test_a_plain_number_is_told_as_it_is() -> None:
    yaw = Attribute("yaw", unit="degrees")
    scores = Scores(yaw, np.float32([[12.34], [np.nan]]))
    assert scores.row(0).fields() == {"yaw": 12.3}
    assert scores.row(1).fields() == {"yaw": None}
    assert scores.numbers is not None
    assert np.isnan(scores.numbers[1])


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "box",
        "identity",
        "distance",
        "face",
        "emotion_probs",
        "x_sure",
        "Glasses",
        "",
        "a b",
        "2nd",
    ],
)
def test_names_that_say_something_else_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="attribute"):
        Attribute(name, labels=("no", "yes"))


@pytest.mark.parametrize("labels", [("a", "a"), ("a", "")])
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="different words"):
        Attribute("x", labels=labels)


def test_attributes_come_back_from_json() -> None:
    given = (
        *BUILT_IN.values(),
        GLASSES,
        Attribute("size", groups=Groups("size_group", ("s", "l"), (0, 2)), unit="cm"),
    )
    assert from_json(to_json(given)) == given
    later = to_json([GLASSES]).replace('{"name"', '{"later": 1, "name"')
    assert from_json(later) == (GLASSES,)


def test_a_model_of_ones_own_keeps_what_we_know_of_its_name() -> None:
    moods = described("emotion", ("calm", "glad"))
    assert (moods.half_life_s, moods.order, moods.labels) == (
        EMOTION.half_life_s,
        EMOTION.order,
        ("calm", "glad"),
    )
    assert described("mood", ("calm", "glad")) == Attribute(
        "mood", labels=("calm", "glad")
    )
