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
