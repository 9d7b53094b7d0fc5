"""Only what changed goes over the wire."""

from __future__ import annotations

from typing import Any


def changes(old: Any, new: Any) -> Any:
    """What turns `old` into `new`: in nested dicts only the keys that differ, None for one gone.

    Args:
        old: plain JSON.
        new: plain JSON.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    changed = {
        key: changes(old.get(key), value)
        for key, value in new.items()
        if key not in old or (old[key] is not value and old[key] != value)
    }
    return changed | {key: None for key in old if key not in new}


class Delta:
    """Turns the grid's parts into messages that carry what is new since the last one.

    A message is {"seq", "base", "parts"}. A receiver that holds `base` merges the changes into
    what it has; one that does not asks for everything, see `reset`. base 0 replaces everything.
    """

    def __init__(self) -> None:
        self._seq = 0
        self._last: dict[str, dict[str, Any]] = {}

    @property
    def empty(self) -> bool:
        """Whether the next message must carry everything."""
        return not self._last

    def reset(self) -> None:
        """Let the next message carry everything."""
        self._last = {}

    def message(self, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The next message.

        Args:
            parts: name -> fields, plain JSON; a part that is left out stays as it is.
        """
        known = self._last | parts
        changed = changes(self._last, known)
        base = self._seq if self._last else 0
        if changed:
            self._seq += 1
        self._last = known
        return {"seq": self._seq, "base": base, "parts": changed}
