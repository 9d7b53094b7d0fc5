"""The search for a browser: its order, and the sentence where there is none."""

import pytest

from tests.browser import chromium


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for search in ("installed_browser", "playwright_browser"):
        monkeypatch.setattr(chromium, search, lambda: None)
    monkeypatch.setattr(chromium, "is_root_on_debian", lambda: False)
    return monkeypatch


def test_an_installed_browser_comes_first(nothing_here: pytest.MonkeyPatch) -> None:
    nothing_here.setattr(chromium, "installed_browser", lambda: "/installed")
    nothing_here.setattr(chromium, "playwright_browser", lambda: "/playwright")
    assert chromium.find_chromium() == "/installed"


def test_then_playwrights_own(nothing_here: pytest.MonkeyPatch) -> None:
    nothing_here.setattr(chromium, "playwright_browser", lambda: "/playwright")
    nothing_here.setattr(chromium, "is_root_on_debian", lambda: True)
    assert chromium.find_chromium() == "/playwright"


def test_then_debians_package(nothing_here: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def install(arguments: list[str], **_: object) -> None:
        commands.append(arguments)
        nothing_here.setattr(chromium, "installed_browser", lambda: "/usr/bin/chromium")

    nothing_here.setattr(chromium, "is_root_on_debian", lambda: True)
    nothing_here.setattr(chromium.subprocess, "run", install)
    assert chromium.find_chromium() == "/usr/bin/chromium"
    assert [command[2] for command in commands] == ["update", "install"]
    assert commands[1][-1] == "chromium"


def test_no_browser_is_an_error_and_not_a_skip(nothing_here: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"found no Chromium or Chrome on PATH.*again"):
        chromium.find_chromium()
