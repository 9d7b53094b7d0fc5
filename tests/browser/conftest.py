"""One server, one Chromium and one profile for all browser tests; a page of its own for each."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import (
    BrowserContext,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.browser.chromium import FLAGS, find_chromium

ROOT = Path(__file__).parents[2]
#: A laptop's window.
SIZE = (1440, 900)
SCREENSHOTS = Path(__file__).with_name("screenshots")
#: Streamlit asks for these two before its own server answers them; nothing else may go wrong.
ALLOWED = re.compile(r"_stcore/(health|host-config)")


# A loaded machine is slow, not wrong.
expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Server:
    """The server under test: its address, what it has logged and where it keeps results."""

    url: str
    log_file: Path
    cache: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll a condition on this side of the browser until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.01)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log_file = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-m", "app", "serve", "--no-browser", "--port", str(port)]
    cache = tmp_path_factory.mktemp("cache")
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "CHATTERSCOPE_CACHE": str(cache)}
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    url = f"http://localhost:{port}"

    def answers() -> bool:
        assert process.poll() is None, f"the server ended: {log_file.read_text()}"
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as response:  # noqa: S310
                return response.status == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    try:
        wait_until(answers, 60, "the server's first answer")
        yield Server(url, log_file, cache)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser that keeps the code that it has compiled, as a person's does.

    A page opens in 2.8 s with it, and in 4.8 s in a context of its own.
    """
    with sync_playwright() as playwright:
        profile = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=find_chromium(),
            args=[*FLAGS],
            viewport=size_of(SIZE),
        )
        yield profile
        profile.close()


def size_of(size: tuple[int, int]) -> ViewportSize:
    return {"width": size[0], "height": size[1]}


@pytest.fixture
def context(profile: BrowserContext) -> Iterator[BrowserContext]:
    """The profile, which holds nothing of this test afterwards but compiled code."""
    first, *_ = profile.pages
    yield profile
    for page in profile.pages:
        if page is not first:
            page.close()
    profile.clear_cookies()
    profile.clear_permissions()


@pytest.fixture
def open_page(
    context: BrowserContext, server: Server, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Opens the lab, at step 0 by default, in a fresh page; then checks the console."""
    opened: list[tuple[Page, list[str]]] = []

    def open_lab(
        query: str = "?steps=1000", *, size: tuple[int, int] = SIZE, scheme: str = "light"
    ) -> Page:
        page = context.new_page()
        page.set_viewport_size(size_of(size))
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                errors.append(f"{message.text} {message.location}")
                if message.type == "error"
                else None
            ),
        )
        opened.append((page, errors))
        page.goto(f"{server.url}/{query}")
        page.wait_for_selector(".cs-table tr[data-lane]", timeout=120_000)
        return page

    yield open_lab
    SCREENSHOTS.mkdir(exist_ok=True)
    for number, (page, errors) in enumerate(opened):
        if not page.is_closed():
            page.screenshot(path=SCREENSHOTS / f"{request.node.name}-{number}.png")
            page.evaluate("localStorage.clear()")  # a look that was chosen
        unexpected = [text for text in errors if not ALLOWED.search(text)]
        assert not unexpected, unexpected
    assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def open_offline(context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens a file where every request beyond it is refused; then checks what it asked for."""
    refused: list[str] = []
    problems: list[str] = []

    def route(route: Route) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    def open_file(path: Path) -> Page:
        page = context.new_page()
        page.route("**/*", route)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('.main-svg').length > 0")
        return page

    yield open_file
    assert (refused, problems) == ([], [])
