"""Downloads from a server on this machine: whole, resumed, cut off, and not the published file."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from demo_models import download as module
from demo_models.download import download, fetch
from demo_models.published import CIFAR, Archive, DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT at any path.

    `ranges`: whether it goes on in the middle. `stop`: bytes after which it hangs up. `asked`:
    the Range header of every request.
    """

    daemon_threads = False  # so that closing it waits for every answer
    ranges = True
    stop: int | None = None
    status: int | None = None
    content = CONTENT
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.status is not None:
            self.send_error(self.server.status)
            return
        whole, start = self.server.content, 0
        if wanted is not None and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(whole) - start))
        self.end_headers()
        with suppress(ConnectionError):  # a client that has seen enough hangs up
            self.wfile.write(whole[start:][: self.server.stop])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def archive(server: Server) -> Archive:
    return replace(
        CIFAR["cifar10"],
        url=f"http://127.0.0.1:{server.server_port}/{CIFAR['cifar10'].filename}",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def refusal(archive: Archive, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(archive, folder)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_a_download_arrives_whole_and_reports_progress(archive: Archive, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(archive, tmp_path / "new", progress=lambda *at: seen.append(at))
    assert path == tmp_path / "new" / "cifar-10-binary.tar.gz"
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert len(seen) > 10
    assert seen == sorted(seen)


def test_a_stopped_download_goes_on_where_it_stopped(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    server.stop = 1_000_000
    assert refusal(archive, tmp_path) == (
        "cifar-10-binary.tar.gz stopped after 1,000,000 of 3,000,000 bytes; run the same command "
        "again to go on from there."
    )
    server.stop = None
    seen: list[tuple[int, int]] = []
    path = fetch(archive, tmp_path, progress=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-"]
    assert seen[0] == (1_000_000, 3_000_000)


def test_a_server_that_cannot_go_on_starts_again(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    server.ranges = False
    (tmp_path / f"{archive.filename}.part").write_bytes(b"x" * 500)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=500-"]


def test_a_part_that_is_too_long_is_written_anew(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / f"{archive.filename}.part").write_bytes(CONTENT + b"x")
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_whole_part_is_only_checked(server: Server, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / f"{archive.filename}.part").write_bytes(CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.asked == []


def test_what_is_there_already_is_checked_and_kept(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    target = tmp_path / archive.filename
    target.write_bytes(CONTENT)
    assert fetch(archive, tmp_path) == target
    assert server.asked == []
    target.write_bytes(CONTENT[:-1] + b"x")
    assert "cifar-10-binary.tar.gz has the SHA-256 " in refusal(archive, tmp_path)
    assert target.exists()


def test_a_wrong_checksum_throws_the_part_away(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    server.content = bytes(len(CONTENT))
    text = refusal(archive, tmp_path)
    assert f"expected {archive.sha256[:12]}...: it is damaged or another file, so " in text
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_a_file_of_another_size_is_refused_before_it_is_fetched(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    server.content = CONTENT + b"more"
    assert refusal(archive, tmp_path) == (
        f"{archive.url} offers 3000004 bytes; expected 3000000: it is not the archive that was "
        "published, so look for another source."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_refuses_or_is_not_there_is_a_sentence(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    part = tmp_path / f"{archive.filename}.part"
    part.write_bytes(CONTENT[:700])
    server.status = 404
    assert f"could not be fetched from {archive.url} (Not Found); try ag" in refusal(
        archive, tmp_path
    )
    nowhere = replace(archive, url="http://127.0.0.1:1/file")
    text = refusal(nowhere, tmp_path)
    assert "could not be fetched from http://127.0.0.1:1/file (" in text
    assert text.endswith("try again later: what has arrived is kept.")
    assert part.read_bytes() == CONTENT[:700]


def test_a_folder_that_cannot_be_made_is_a_sentence(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "could not be fetched from" in refusal(archive, tmp_path / "file")


def test_names_are_those_of_the_archives(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"'mnist' cannot be downloaded; expected one of cifar10, "):
        download("mnist", tmp_path)
    monkeypatch.setitem(module.CIFAR, "cifar10", archive)
    assert download("cifar10", tmp_path).read_bytes() == CONTENT
