"""Finds the one Chromium that the browser tests drive, and installs it where nothing is found.

The order: an installed Chromium or Chrome, Playwright's own download, Debian's package (as root).
A test never skips for want of a browser: where nothing works, `find_chromium` raises a sentence.
"""

import os
import shutil
import subprocess
from pathlib import Path

# Debian's launcher runs as root in CI, hence no sandbox; the rest keeps a closed network quiet.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def find_chromium() -> str:
    """Return the path of a Chromium or Chrome, installing Debian's where it has to and can.

    Raises:
        RuntimeError: no browser was found and none could be installed; the text says what to do.
    """
    found = installed_browser() or playwright_browser()
    if found:
        return found
    if is_root_on_debian():
        install_debian_package()
        found = installed_browser()
        if found:
            return found
    raise RuntimeError(
        "The browser tests found no Chromium or Chrome on PATH and none of Playwright's own. "
        "Install one, or run '.venv/bin/python -m playwright install chromium', and run them again."
    )


def installed_browser() -> str | None:
    """Return the first Chromium or Chrome that this machine has, or None."""
    on_path = (shutil.which(command) for command in COMMANDS)
    in_place = (path for path in APPLICATIONS if os.access(path, os.X_OK))
    return next((path for path in (*on_path, *in_place) if path), None)


def playwright_browser() -> str | None:
    """Return the browser that `playwright install chromium` has downloaded, or None."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def is_root_on_debian() -> bool:
    """Tell whether apt-get can install a package here without asking anybody."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return is_root and Path("/etc/debian_version").is_file() and bool(shutil.which("apt-get"))


def install_debian_package() -> None:
    """Install Debian's chromium; apt's own output says why when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", "-qq", *arguments], check=True, env=environment)


if __name__ == "__main__":
    print(f"Browser tests use {find_chromium()}.")
