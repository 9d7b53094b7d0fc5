"""Fields of a page's declared state: how one is declared, checked, and read from a link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields, replace
from typing import Any, TypeVar

from app.budget import limit
from sadam.lanes import LANES

#: The version of links and files; raise it when a name or a default changes its meaning.
VERSION = 1
#: The one look that a link may ask for, beside the fields.
PROJECTOR = "projector"
#: Optimizers at once: as many as there are colours to tell apart.
MOST_LANES = 8
#: Unknown parameters of a link that are named; a hostile one may have thousands.
MOST_NAMED = 3

State = TypeVar("State")


class ExperimentError(ValueError):
    """A setting that cannot be used; its text names the field, the value and the range."""


def number(low: float, high: float, default: Any, label: str) -> Any:
    """Declare a number from `low` to `high`, whole where the default is an int."""
    return field(default=default, metadata={"low": low, "high": high, "label": label})


def choice(options: Mapping[Any, str], default: Any, label: str) -> Any:
    """Declare one of the keys of `options`, which maps them to what a person reads."""
    return field(default=default, metadata={"options": options, "label": label})


def check_fields(state: Any) -> None:
    """Put every number and choice of a frozen dataclass into its own kind.

    Args:
        state: a frozen dataclass in its `__post_init__`, with fields of `number` and `choice`.

    Raises:
        ExperimentError: one sentence with the field, the value found and the range expected.
    """
    for item in fields(state):
        value = getattr(state, item.name)
        if "low" in item.metadata:
            object.__setattr__(state, item.name, checked_number(item, value))
        elif "options" in item.metadata:
            object.__setattr__(state, item.name, checked_choice(item, value))


def checked_number(item: Any, value: Any) -> float | int:
    """`value` as the field's own kind of number, within its range."""
    low, label = item.metadata["low"], item.metadata["label"]
    high, whose = limit(item.name, item.metadata["high"])
    whole = isinstance(item.default, int)
    kind = "a whole number" if whole else "a number"
    found = f"{value:g}" if isinstance(value, float) else ascii(value)[:60]
    sentence = f"{label} ({item.name}) is {found}; expected {kind} from {low:g} to {high:g}{whose}."
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ExperimentError(sentence) from None
    # A comparison with nan is false, so nan is refused here as well.
    if isinstance(value, bool) or not low <= number <= high or (whole and number % 1):
        raise ExperimentError(sentence)
    return int(number) if whole else number


def checked_choice(item: Any, value: Any) -> str | int:
    """`value` as one of the field's options; a number may come as text, from a URL."""
    for option in item.metadata["options"]:
        if value == option or (isinstance(value, str) and value == str(option)):
            return option
    options = ", ".join(str(option) for option in item.metadata["options"])
    raise ExperimentError(
        f"{item.metadata['label']} ({item.name}) is {ascii(value)[:60]}; expected one of {options}."
    )


def checked_lanes(lanes: Any) -> tuple[str, ...]:
    """The lanes in the order of `LANES`, each one known, none twice, with what they need."""
    names = tuple(lanes) if isinstance(lanes, tuple | list) else (lanes,)
    unknown = [name for name in names if not (isinstance(name, str) and name in LANES)]
    if unknown or not names:
        found = ", ".join(ascii(name)[:60] for name in unknown[:MOST_NAMED]) or "none"
        raise ExperimentError(
            f"Optimizers (lanes) has {found}; expected at least one of {', '.join(LANES)}."
        )
    most, whose = limit("lanes", MOST_LANES)
    if len(names) > most:
        raise ExperimentError(
            f"Optimizers (lanes) has {len(names)}; expected at most {most} at once{whose}."
        )
    for name in names:
        missing = [LANES[other].title for other in LANES[name].needs if other not in names]
        if missing:
            raise ExperimentError(
                f"Optimizers (lanes) has {LANES[name].title}, which takes its damping from "
                f"{', '.join(missing)}; add {', '.join(missing)} or leave it out."
            )
    return tuple(name for name in LANES if name in names)


def to_text(value: Any) -> str:
    """A field's value as a link holds it; a tuple's parts between commas."""
    return ",".join(str(part) for part in (value if isinstance(value, tuple) else (value,)))


def seed_words(first: int, count: int) -> str:
    """The seeds that are trained, in words."""
    return f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1}"


def take_fields(
    default: State,
    subject: str,
    change: Callable[..., State],
    given: Mapping[str, Any],
    refused: list[str] | None = None,
) -> State:
    """Take over whatever is valid of what a link or a file gives, field by field.

    A field may be valid only beside another, as a lane that needs two seeds: what was refused is
    tried again as long as anything more is taken.

    Args:
        default: what holds where nothing is given.
        subject: the field that brings others' defaults with it, so it is taken first.
        change: takes the subject by its name and gives the state with what it brings.
        given: name -> value, as text or of the field's own kind; "v" is the link's version,
            "look" that of the page.
        refused: takes a sentence for each field that was not taken; None raises the first.

    Raises:
        ExperimentError: an unknown name, or a value that its field refuses, unless `refused`.
    """
    sentences = []
    known = {item.name: item for item in fields(default)}  # type: ignore[arg-type]
    version = given.get("v", VERSION)
    if str(version) != str(VERSION):
        sentences.append(
            f"The link's version (v) is {ascii(version)[:60]}; expected {VERSION}: what is known "
            "of it is taken."
        )
    look = given.get("look", PROJECTOR)
    if look != PROJECTOR:
        sentences.append(
            f"The link's look (look) is {ascii(look)[:60]}; expected {PROJECTOR} or nothing."
        )
    unknown = [name for name in given if name not in known and name not in ("v", "look")]
    if unknown:
        named = ", ".join(ascii(name)[:60] for name in unknown[:MOST_NAMED])
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        sentences.append(
            f"The link sets {named}{more}; this version knows {', '.join(sorted(known))}."
        )
    waiting = {name: _value(known[name], given[name]) for name in known if name in given}
    state = default
    if subject in waiting:
        try:
            named = checked_choice(known[subject], waiting.pop(subject))
            state = change(**{subject: named})
        except ExperimentError as error:
            sentences.append(str(error))
    answers: dict[str, str] = {}
    before = len(waiting) + 1
    while len(waiting) < before:
        before = len(waiting)
        for name in list(waiting):
            try:
                state = replace(state, **{name: waiting[name]})  # type: ignore[type-var]
                del waiting[name]
            except ExperimentError as error:
                answers[name] = str(error)
    sentences += [answers[name] for name in waiting]
    if sentences and refused is None:
        raise ExperimentError(sentences[0])
    if refused is not None:
        refused += sentences
    return state


def _value(item: Any, value: Any) -> Any:
    """A tuple from the text of a link or the list of a file; anything else as it is."""
    if not isinstance(item.default, tuple):
        return value
    if isinstance(value, str):
        return tuple(part for part in value.split(",") if part)
    return tuple(value) if isinstance(value, list) else value
