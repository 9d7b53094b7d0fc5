"""Only what changed goes over the wire."""

from __future__ import annotations

from typing import Any


class Delta:
    """Turns the grid's parts into messages that carry what is new since the last one.

    A message is {"seq", "base", "parts"}: the parts' fields that changed, and for charts the
    traces that changed (None for one that is gone). A receiver that holds `base` adds the
    changes to what it has; another one asks for everything, see `reset`.
    """

    def __init__(self) -> None:
        self._seq = 0
        self._last: dict[str, dict[str, Any]] = {}

    def reset(self) -> None:
        """Let the next message carry everything."""
        self._last = {}

    def message(self, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The next message for these parts.

        Args:
            parts: name -> fields, plain JSON; "traces" maps a trace's name to its spec.
        """
        changed = {}
        for name, part in parts.items():
            old = self._last.get(name, {})
            fields = {k: v for k, v in part.items() if k != "traces" and old.get(k) != v}
            if "traces" in part:
                before, now = old.get("traces", {}), part["traces"]
                traces = {k: v for k, v in now.items() if before.get(k) != v}
                traces |= {k: None for k in before if k not in now}
                if traces:
                    fields["traces"] = traces
                    fields["order"] = list(now)
            if fields:
                changed[name] = fields
        base = self._seq if self._last else 0
        if changed or not self._last:
            self._seq += 1
        self._last = dict(parts)
        return {"seq": self._seq, "base": base, "parts": changed}
