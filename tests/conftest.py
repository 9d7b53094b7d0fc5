"""Two processes share the tests: a file goes to one of them, all browser tests to the same."""

import os

import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

BROWSER = "tests/browser"

# A loaded machine is slow, not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # one core each


class FileScheduling(LoadScopeScheduling):
    """Keeps the tests of a file together; one server and one browser serve all of their tests."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", maxsplit=1)[0]
        return BROWSER if path.startswith(BROWSER) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The browser's tests take longest, and so begin first.
    items.sort(key=lambda item: not item.nodeid.startswith(BROWSER))
