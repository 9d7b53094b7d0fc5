"""Fetch a published archive: resumed where it stopped, kept only if its checksum is right."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from demo_models.published import CIFAR, Archive, DataError

BLOCK = 1 << 18  # bytes between two reports of progress
TIMEOUT = 60.0  # seconds without a byte
Progress = Callable[[int, int], None]


def download(name: str, folder: Path, *, progress: Progress | None = None) -> Path:
    """Download CIFAR-10 or CIFAR-100 into `folder` and return the path of the archive.

    Args:
        name: "cifar10" or "cifar100".
        folder: made if it does not exist.
        progress: called with the bytes on disk and in all, at the start and after every block.

    Raises:
        DataError: an unknown name, an unreachable server, a download that stopped (call again: it
            goes on from there), or a file that is not the published one.
    """
    if name not in CIFAR:
        raise DataError(
            f"{name!r} cannot be downloaded; expected one of {', '.join(CIFAR)}: other data sets "
            "are put into the folder by hand."
        )
    return fetch(CIFAR[name], folder, progress=progress)


def fetch(archive: Archive, folder: Path, *, progress: Progress | None = None) -> Path:
    """Download `archive` as `download` does; an archive that is there already is only checked."""
    target = folder / archive.filename
    part = target.with_name(target.name + ".part")
    if target.is_file():
        _check(archive, target)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not part.is_file() or part.stat().st_size != archive.size:
            _receive(archive, part, progress or _silent)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{archive.filename} could not be fetched from {archive.url} ({reason}); try again "
            "later: what has arrived is kept."
        ) from error
    found = part.stat().st_size
    if found < archive.size:
        raise DataError(
            f"{archive.filename} stopped after {found:,} of {archive.size:,} bytes; run the same "
            "command again to go on from there."
        )
    try:
        _check(archive, part)
    except DataError:
        part.unlink()
        raise
    return part.replace(target)


def _receive(archive: Archive, part: Path, progress: Progress) -> None:
    """Append to `part` what is missing, or write it anew where the server cannot go on."""
    start = part.stat().st_size if part.is_file() else 0
    if start > archive.size:
        start = 0
    request = urllib.request.Request(archive.url)  # noqa: S310 (a constant, https)
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        if answer.status != 206 or not _goes_on(answer.headers.get("Content-Range"), start):
            start = 0
            _check_length(archive, answer.headers.get("Content-Length"))
        with part.open("ab" if start else "wb") as file:
            _copy(answer, file, start, archive.size, progress)


def _goes_on(content_range: str | None, start: int) -> bool:
    """Whether the answer starts where the file ends: "bytes 100-199/200" for 100."""
    return bool(start) and (content_range or "").startswith(f"bytes {start}-")


def _check_length(archive: Archive, length: str | None) -> None:
    if length is not None and length != str(archive.size):
        raise DataError(
            f"{archive.url} offers {length} bytes; expected {archive.size}: it is not the archive "
            "that was published, so look for another source."
        )


def _copy(answer: Any, file: IO[bytes], done: int, total: int, progress: Progress) -> None:
    """Never more than `total`, however much the server sends."""
    progress(done, total)
    while done < total and (block := answer.read(min(BLOCK, total - done))):
        file.write(block)
        done += len(block)
        progress(done, total)


def _check(archive: Archive, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise DataError(
            f"{path.name} has the SHA-256 {found[:12]}...; expected {archive.sha256[:12]}...: it "
            "is damaged or another file, so delete it if it is still there and download it again."
        )


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""
