"""Training: the S-Adam update, an optimizer that anybody can import, and lanes trained in lockstep.

Names are imported on first use, so `import sadam.lanes` and `import sadam.settings` stay free of
torch and a page that only lists the optimizers paints without waiting for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sadam.batches import Batches
    from sadam.ensemble import Ensemble
    from sadam.history import History
    from sadam.lanes import DEFAULT_LANES, LANES, Lane
    from sadam.optimizer import SAdam
    from sadam.record import Record
    from sadam.settings import Settings
    from sadam.snapshots import Snapshots

__all__ = [
    "DEFAULT_LANES",
    "LANES",
    "Batches",
    "Ensemble",
    "History",
    "Lane",
    "Record",
    "SAdam",
    "Settings",
    "Snapshots",
]

_HOMES = {
    "DEFAULT_LANES": "lanes",
    "LANES": "lanes",
    "Batches": "batches",
    "Ensemble": "ensemble",
    "History": "history",
    "Lane": "lanes",
    "Record": "record",
    "SAdam": "optimizer",
    "Settings": "settings",
    "Snapshots": "snapshots",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sadam' has no attribute {name!r}")
    return getattr(import_module(f"sadam.{_HOMES[name]}"), name)
