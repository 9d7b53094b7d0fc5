"""Only what changed goes over the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Seconds, fewer than a page takes to ask again by itself: else everything would be sent twice.
LEFT = 0.4


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


def complete(parts: dict[str, Any]) -> dict[str, Any]:
    """The one message of a page that nothing follows.

    Args:
        parts: name -> fields, plain JSON.
    """
    return {"seq": 1, "base": 0, "before": [], "parts": parts, "taken": 0}


class Delta:
    """Turns the grid's parts into messages that carry what is new since the last one.

    A message is {"seq", "base", "before", "parts", "taken"}. `before` and `parts` are the changes
    of base + 1 to seq, one by one: a receiver merges those that it has not into what it has. One
    that lacks more asks for everything, see `take`. base 0 replaces everything. Streamlit drops
    what it has not sent yet of a fragment that runs again, so a message also carries the changes
    of those shortly before it. `taken` is the number of the last action that was carried out:
    Streamlit keeps but the newest trigger of a component, so the receiver repeats the others until
    then.

    Args:
        left: seconds after which a message is taken to have left the server.
    """

    def __init__(self, left: float = LEFT) -> None:
        self._left = left
        # Above all numbers of an earlier one, whose messages the receiver may still hold.
        self._seq = time.monotonic_ns() // 1000
        self._taken = 0
        self._last: dict[str, dict[str, Any]] = {}
        self._recent: list[dict[str, Any]] = []  # changes that may be on their way
        self._sent = 0.0

    @property
    def empty(self) -> bool:
        """Whether the next message must carry everything."""
        return not self._last

    def reset(self) -> None:
        """Let the next message carry everything."""
        self._last = {}

    def take(self, actions: Any, act: Callable[[dict[str, Any]], None]) -> None:
        """Carry out each action that was not yet, once and in order.

        Args:
            actions: what the browser sent, anything at all; an action is {"number", "do", ...}.
            act: called with each that is no matter of messages alone.
        """
        for action in actions if isinstance(actions, list) else ():
            match action:
                case {"number": int(number), "do": str(do)} if number > self._taken:
                    self._taken = number
                    if do == "resend":
                        self.reset()
                    else:
                        act(action)

    def message(self, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The next message.

        Args:
            parts: name -> fields, plain JSON; a part that is left out stays as it is.
        """
        known = self._last | parts
        changed = changes(self._last, known)
        whole = not self._last
        now = time.monotonic()
        if whole or now >= self._sent + self._left:
            self._recent = []
        if changed:
            self._seq += 1
            self._sent = now
            self._recent.append(changed)
        self._last = known
        *before, newest = self._recent or [{}]
        base = 0 if whole else self._seq - len(self._recent)
        if whole:
            self._recent = []  # who lacks it asks: it is too long to be sent twice
        return {
            "seq": self._seq,
            "base": base,
            "before": before,
            "parts": newest,
            "taken": self._taken,
        }
