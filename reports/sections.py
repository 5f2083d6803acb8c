"""Sections that are not ours: given from Python, or brought by an installed package; shown between the images and how it was made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from markupsafe import Markup, escape

from reports.run import Run
from xai.errors import RunError

GROUP = "whyfake.sections"  # of entry points
NAME = re.compile(r"[a-z][a-z0-9_-]*")
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of an audit's page.

    Args:
        name: its address on the page (`index.html#name`): small letters, digits, `-` and `_`.
        title: its heading, and its place in the navigation.
        body: returns what it shows of a run. A plain `str` is escaped and shown as paragraphs,
            a `markupsafe.Markup` is put in as it is: escaping what it holds is then up to the function.

    Raises:
        ValueError: the name is none, or one of the page's own.

    Example:
        >>> Section("doubt", "Images in doubt", lambda run: "None.").name
        'doubt'
        >>> Section("look", "Another look", lambda run: "")
        Traceback (most recent call last):
        ...
        ValueError: the page has a 'look' of its own; give the section another name
    """

    name: str
    title: str
    body: Callable[[Run], str | Markup]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a section; expected small letters, digits, '-' and '_', a letter first")
        if self.name in own_names():
            raise ValueError(f"the page has a '{self.name}' of its own; give the section another name")


@dataclass(frozen=True, slots=True)
class Shown:
    """A section as the template takes it: its address, heading and finished HTML."""

    name: str
    title: str
    html: Markup


def show(run: Run, given: Sequence[Section] = ()) -> list[Shown]:
    """Return the sections of a page: those of installed packages, then those given.

    A section that cannot be made says so in its place: the report of an audit that took hours
    does not fail for an addition to it.

    Args:
        run: what they are of.
        given: further ones.

    Raises:
        RunError: two of those given have the same name.
    """
    names = [section.name for section in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RunError(f"two sections are called '{twice[0]}'; give each its own name")
    return [*installed(run, set(names)), *(shown(section, run) for section in given)]


def installed(run: Run, taken: set[str]) -> Iterator[Shown]:
    """Yield what the entry points bring, in the order of their names."""
    points: Iterable[EntryPoint] = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    for number, point in enumerate(points, 1):
        try:
            section = point.load()
            if not isinstance(section, Section):
                raise TypeError(f"it is no reports.Section but {type(section).__name__}")
            if section.name in taken:
                raise ValueError(f"another section is called '{section.name}'")
        except Exception as error:  # whatever a foreign package does when it is imported
            name = f"installed-{number}"
            while name in taken:
                name += "-"
            taken.add(name)
            yield Shown(name, point.name, failed(error, f" by {point.value}"))
        else:
            taken.add(section.name)
            yield shown(section, run)


def shown(section: Section, run: Run) -> Shown:
    """Return a section with its body made, or with why it could not be."""
    try:
        body = section.body(run)
        if not isinstance(body, str):
            raise TypeError(f"the body is no text but {type(body).__name__}")
    except Exception as error:  # see `show`
        return Shown(section.name, str(section.title), failed(error))
    return Shown(section.name, str(section.title), body if isinstance(body, Markup) else paragraphs(body))


def failed(error: Exception, where: str = "") -> Markup:
    """Return the line that stands in the place of a section."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Markup('<p class="alert" role="note"><b>Note</b> This section could not be made{}: {}</p>').format(where, reason[:500])


def paragraphs(text: str) -> Markup:
    """Return plain text as paragraphs; an empty line starts a new one.

    Example:
        >>> paragraphs("a < b\\n\\nc")
        Markup('<p>a &lt; b</p>\\n<p>c</p>')
    """
    return Markup("\n").join(Markup("<p>{}</p>").format(escape(part.strip())) for part in re.split(r"\n\s*\n", text) if part.strip())


@cache
def own_names() -> frozenset[str]:
    """Return the addresses that the page itself uses."""
    from reports.charts import PALETTES

    text = "".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.html")))
    return frozenset(re.findall(r'\bid="([\w-]+)"', text)) | frozenset(PALETTES)
