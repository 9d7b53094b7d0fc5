"""Lessons as they are read from their Markdown files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
#: A preset: a line of a list that is nothing but a link.
_PRESET = re.compile(r"^- \[([^]]+)\]\((\S+)\)$", re.MULTILINE)
#: The parts of a lesson in their order; the page "First mistakes" has parts of its own.
PARTS = ("Predict first", "Open", "What to read off", "Answer", "Change one thing next")


@dataclass(frozen=True)
class Part:
    """What stands under one heading.

    Args:
        title: the heading.
        text: Markdown, without the presets.
        presets: (label, address relative to the page) of what opens with one click.
    """

    title: str
    text: str
    presets: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lesson:
    """One file.

    Args:
        key: its name in the page's address.
        title: the question.
        text: Markdown that explains the question.
        parts: the rest, a heading each.
    """

    key: str
    title: str
    text: str
    parts: tuple[Part, ...]

    def part(self, title: str) -> Part:
        """The part of this title."""
        return next(part for part in self.parts if part.title == title)

    @property
    def presets(self) -> tuple[tuple[str, str], ...]:
        """All presets."""
        return tuple(preset for part in self.parts for preset in part.presets)


def parse(key: str, text: str) -> Lesson:
    """Read one file: "# title", its text, then parts that begin with "## ".

    In an answer, whatever is bold is a figure that was measured; tests measure it anew.

    Raises:
        ValueError: it does not begin with a title.
    """
    head, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    mark, _, body = head.partition("\n")
    if not mark.startswith("# "):
        raise ValueError(f"{key} begins with {mark[:40]!r}; expected '# ' and the question.")
    parts = []
    for chunk in rest:
        title, _, inside = chunk.partition("\n")
        presets = tuple(_PRESET.findall(inside))
        parts.append(Part(title.strip(), _PRESET.sub("", inside).strip(), presets))
    return Lesson(key, mark[2:].strip(), body.strip(), tuple(parts))


@cache
def lessons() -> dict[str, Lesson]:
    """All lessons by key, in the order of their files' numbers."""
    found = {}
    for file in sorted(FOLDER.glob("*.md")):
        key = file.stem.partition("_")[2]
        found[key] = parse(key, file.read_text("utf-8"))
    return found
