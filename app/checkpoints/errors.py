"""The one error of the reader, and how names out of a file are shown."""

from __future__ import annotations

#: Where most refusals end: the form of a file that always loads.
SAVE_AGAIN = "save it again with torch.save(model.state_dict(), 'model.pt')"
PLAIN = "a torch.save archive of plain tensors, or a safetensors file"

_SHOWN = 80


class CheckpointError(ValueError):
    """A file that is not read, in one sentence for the person who brought it.

    The text holds names out of the file, escaped by `shown`; show it as text, never as markdown or
    HTML.

    Args:
        found: what the file is or holds.
        expected: what would have been read.
        advice: what to do.
    """

    def __init__(self, found: str, expected: str, advice: str) -> None:
        super().__init__(f"{found}; expected {expected}: {advice}.")
        self.found = found
        self.expected = expected
        self.advice = advice


def shown(value: object) -> str:
    """A name out of a file: escaped to ASCII, in quotes, cut to 80 characters."""
    text = ascii(value[:_SHOWN] if isinstance(value, str) else value)
    whole = not isinstance(value, str) or len(value) <= _SHOWN
    return text if whole and len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
