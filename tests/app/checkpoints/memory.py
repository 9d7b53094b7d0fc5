"""How much memory this process takes, and the most that it took since a mark."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mark() -> int:
    """Bytes in use now; from here on `peak` counts anew where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")
        return _field("VmRSS")
    return peak()


def peak() -> int:
    """The most bytes in use since the mark; since the start where the system knows no better."""
    if _CLEAR.exists():
        return _field("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _field(name: str) -> int:
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024
