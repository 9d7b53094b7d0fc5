"""`python -m app data NAME`: fetch a data set, or say what to put where."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from demo_models.scenario import FROM_FILES

#: The exit codes of what is refused, and of Ctrl-C.
REFUSED, STOPPED = 2, 130


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what `data` takes.

    Args:
        parser: of the sub-command.
    """
    parser.add_argument("name", choices=FROM_FILES, help="which data set")
    parser.add_argument(
        "--folder", type=Path, help="where to (the one that CHATTERSCOPE_DATA names)"
    )


def run(options: Namespace) -> int:
    """Download a data set, or go on where a download stopped, and verify its checksum.

    Args:
        options: of `add_arguments`.

    Returns:
        0; 2 for what is refused, with one sentence on stderr; 130 after Ctrl-C.
    """
    from demo_models.published import DataError

    try:
        sys.stdout.write(f"{_fetched(options.name, _folder(options.folder))}\n")
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; run the same command again to go on from there.\n")
        return STOPPED
    return 0


def _folder(given: Path | None) -> Path:
    """The folder that is named; it need not be there yet."""
    from demo_models.published import VARIABLE, DataError

    named = os.environ.get(VARIABLE, "")
    if given is None and not named:
        raise DataError(
            f"{VARIABLE} is not set; set it to the folder that is to hold the data sets, or give "
            "--folder."
        )
    return given if given is not None else Path(named)


def _fetched(name: str, folder: Path) -> str:
    """Have it there; where it is, in a sentence."""
    from app.compare.progress import Bar
    from demo_models.download import download
    from demo_models.published import CIFAR, TINY_FOLDER, TINY_URL, VARIABLE, DataError

    if name not in CIFAR:
        if not (folder / TINY_FOLDER / "wnids.txt").is_file():
            raise DataError(
                f"{name} is not in {folder} and is put there by hand; expected the folder "
                f"{TINY_FOLDER} with wnids.txt, train and val in it: download {TINY_URL} and "
                "unpack it there."
            )
        return f"{name} is in {folder / TINY_FOLDER}."
    bar = Bar("MB", scale=1e6)
    part = folder / f"{CIFAR[name].filename}.part"
    bar.free = part.stat().st_size if part.is_file() else 0.0
    path = download(name, folder, progress=lambda done, total: bar.show(done, total, name))
    bar.end()
    found = os.environ.get(VARIABLE, "")
    text = f"{CIFAR[name].title} is whole: {path}, its SHA-256 as published."
    if not found or Path(found).resolve() != folder.resolve():
        text += f" Set {VARIABLE}={folder.resolve()} so that scenarios find it."
    return text
