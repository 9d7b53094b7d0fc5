"""Two processes share the tests: one file goes to one of them, all browser tests to the same."""

import os

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # one core each


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One server and one browser for all of their tests, which take longest and so begin first.
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)
    for item in items:
        browser = item.get_closest_marker("browser") is not None
        item.add_marker(pytest.mark.xdist_group("browser" if browser else item.path.name))
