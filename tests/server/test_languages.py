"""The page's languages: each file of strings says all that the page says; the service answers in the one asked for."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mien.gallery.verdicts import FAR, THERE
from mien.models.attributes.heads import AGE, EMOTION, GENDER
from mien.server.routes import page
from mien.server.routes.page import chosen_language

from .harness import Client

BUILT_IN = (AGE, GENDER, EMOTION)
STATIC = Path(page.__file__).parents[1] / "static"
LANGUAGES = sorted(STATIC.glob("*.json"))
SCRIPTS = [
    file
    for file in sorted(STATIC.glob("*.js"))
    if file.name not in {"docs.js", "theme.js", "lang.js"}
]
SAID = ("aria-label", "title", "placeholder", "data-kept")

# t`Rename ${name}`; what is put in may hold braces and quotes, but no text of its own.
TAGGED = re.compile(r"(?<![\w$.])t`((?:[^`$]|\$\{(?:[^{}`]|\{[^{}`]*\})*\})*)`")
PUT_IN = re.compile(r"\$\{(?:[^{}`]|\{[^{}`]*\})*\}")
LETTERS = re.compile(r"[a-zA-Z]{2}")
UNSAID = re.compile(
    r"//.*|import .*|class: [^,}]*|className = [^;]*|querySelector(?:All)?\([^)]*\)|new Set\(\[.*"
)
SENTENCE = re.compile(r"^ *[A-Z][a-z]+([ .…]|$)|[a-z] [a-z]+ [a-z]|[a-z]{3,} [a-z]{3,}")
PLAIN = {
    "Files",
    "NotAllowedError",
    "AbortError",
    "Ada, Ben",
    "mien_…",
    "Bearer ",
}  # no language
PLAIN |= {"tag below", "tag right", "tag below right"}  # classes


class Document(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts |= {text or "" for name, text in attrs if name in SAID}

    def handle_data(self, data: str) -> None:
        self.texts.add(data.strip())


def said_by_scripts() -> set[str]:
    found = set()
    for file in SCRIPTS:
        text = file.read_text("utf-8")
        tagged = TAGGED.findall(text)
        assert len(tagged) == len(re.findall(r"(?<![\w$.])t`", text)), (
            f"{file.name}: a text within a text; give the inner one a name of its own"
        )
        for one in tagged:
            count = iter(range(10))
            said = PUT_IN.sub(lambda _, count=count: f"{{{next(count)}}}", one)
            found.add(said.replace("\\u00a0", "\u00a0"))
    return found


def said_by_document() -> set[str]:
    document = Document()
    document.feed((STATIC / "index.html").read_text("utf-8"))
    return {text for text in document.texts if LETTERS.search(text)} - {"mien"}


def words() -> set[str]:
    """What the service tells in English and the page shows in its own language."""
    verdicts = {"blurred", "too small", "turned away", FAR, THERE}
    named = {word for one in BUILT_IN for word in (one.name, one.plural)}
    return verdicts | named | {label for one in BUILT_IN for label in one.labels or ()}


@pytest.mark.parametrize("file", LANGUAGES, ids=lambda file: file.stem)
def test_a_language_says_all_that_the_page_says_and_nothing_else(file: Path) -> None:
    strings = json.loads(file.read_text("utf-8"))
    wanted = said_by_scripts() | said_by_document() | words()
    assert len(wanted) > 250
    assert wanted - strings.keys() == set(), "texts without a translation"
    assert strings.keys() - wanted == set(), "translations of nothing"


@pytest.mark.parametrize("file", LANGUAGES, ids=lambda file: file.stem)
def test_translations_put_in_what_is_put_in(file: Path) -> None:
    """A place that is made up would stay as it is; of those there are, a language may leave out words of grammar."""
    for text, other in json.loads(file.read_text("utf-8")).items():
        assert other.strip(), text
        places = set(re.findall(r"\{\d\}", text))
        assert set(re.findall(r"\{\d\}", other)) <= places, text
        assert len(text) - len(text.lstrip()) == len(other) - len(other.lstrip()), text


def test_every_language_can_be_chosen() -> None:
    named = re.search(r"languages = \{(.*?)\};", (STATIC / "lang.js").read_text())
    assert named is not None
    assert set(re.findall(r"(\w+):", named[1])) == page.languages()
    assert len(LANGUAGES) >= 1


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_no_text_of_the_page_is_outside(file: Path) -> None:
    """Whatever reads like a sentence or a label is tagged."""
    lines = TAGGED.sub("", file.read_text("utf-8")).splitlines()
    rest = [PUT_IN.sub("", UNSAID.sub("", line)) for line in lines]
    plain = {one for line in rest for one in re.findall(r'"([^"]*)"|`([^`]*)`', line)}
    outside = {one or other for one, other in plain if SENTENCE.search(one or other)}
    assert outside - PLAIN == set()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", b"en"),
        ("de-DE,de;q=0.9,en;q=0.8", b"de"),
        ("en-US,de;q=0.9", b"en"),
        ("fr, de-AT;q=0.8, en;q=0.5", b"de"),
        ("fr", b"en"),
        ("de;q=0", b"en"),
        ("de;q=nan, en", b"en"),
        ("*;q=;,,;q=x" * 100, b"en"),
    ],
)
def test_the_language_a_browser_asks_for(accepted: str, language: bytes) -> None:
    assert chosen_language(accepted) == language


def test_the_page_says_in_which_language_it_is(client: Client) -> None:
    answer = client.http.get("/", headers={"accept-language": "de"})
    assert '<html lang="de">' in answer.text
    assert answer.headers["vary"] == "Accept-Language"
    other = client.http.get("/", headers={"accept-language": "en"})
    assert '<html lang="en">' in other.text
    assert other.headers["etag"] != answer.headers["etag"]
    kind = client.http.get("/static/de.json").headers["content-type"]
    assert kind == "application/json"
