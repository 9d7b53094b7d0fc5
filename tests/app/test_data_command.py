"""The command `data`: downloads from a server on this machine, resumes, verifies, and says so."""

from __future__ import annotations

import argparse
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from app import data_command
from demo_models import download
from demo_models.archives import PIXELS, read_cifar
from demo_models.published import CIFAR, VARIABLE, Archive

NAME = CIFAR["cifar100"].filename


def small_archive() -> bytes:
    """CIFAR-100's own format with five records to train and three to test."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, records in (("train.bin", 5), ("test.bin", 3)):
            labels = np.stack([rng.integers(0, 20, records), rng.integers(0, 100, records)], 1)
            pixels = rng.integers(0, 256, (records, PIXELS))
            content = np.concatenate([labels, pixels], 1).astype(np.uint8).tobytes()
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


CONTENT = small_archive()


class Handler(SimpleHTTPRequestHandler):
    """Serves one file, and goes on where it is told to."""

    asked: list[str | None]

    def __init__(self, asked: list[str | None], *args: object) -> None:
        self.asked = asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def asked() -> list[str | None]:
    return []


@pytest.fixture
def archive(asked: list[str | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, asked))
    server.daemon_threads = False
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    small = replace(
        CIFAR["cifar100"],
        url=f"http://127.0.0.1:{server.server_port}/{NAME}",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        train=(("train.bin", 5),),
        test=(("test.bin", 3),),
    )
    monkeypatch.setitem(download.CIFAR, "cifar100", small)
    yield small
    server.shutdown()
    thread.join()
    server.server_close()


def data(*words: str) -> int:
    parser = argparse.ArgumentParser()
    data_command.add_arguments(parser)
    return data_command.run(parser.parse_args(words))


def test_it_downloads_into_the_folder_that_the_variable_names(
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "new"
    monkeypatch.setenv(VARIABLE, str(folder))
    assert data("cifar100") == 0
    said = capsys.readouterr()
    assert said.out == f"CIFAR-100 is whole: {folder / NAME}, its SHA-256 as published.\n"
    assert said.err.splitlines()[-1] == "[##############################] 0 of 0 MB · cifar100"
    found = read_cifar(archive, folder)
    assert (len(found.train[1]), len(found.test[1]), found.classes) == (5, 3, 100)


def test_it_goes_on_where_it_stopped(
    archive: Archive, asked: list[str | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    assert data("cifar100", "--folder", str(tmp_path)) == 0
    assert asked == ["bytes=1000-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert f"Set {VARIABLE}={tmp_path} so that scenarios find it.\n" in capsys.readouterr().out


def test_a_file_that_is_not_the_published_one_is_a_sentence(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_bytes(CONTENT[:-1] + b"x")
    assert data("cifar100", "--folder", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "has the SHA-256 " in said
    assert said.endswith("so delete it if it is still there and download it again.\n")
    assert said.count("\n") == 1


def test_what_is_missing_is_said_with_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert data("cifar10") == 2
    assert capsys.readouterr().err == (
        "CHATTERSCOPE_DATA is not set; set it to the folder that is to hold the data sets, or give "
        "--folder.\n"
    )
    assert data("tiny-imagenet", "--folder", str(tmp_path)) == 2
    assert (
        f"tiny-imagenet is not in {tmp_path} and is put there by hand; expected the folder "
        "tiny-imagenet-200 with wnids.txt, train and val in it: download http://"
    ) in capsys.readouterr().err
    (tmp_path / "tiny-imagenet-200").mkdir()
    (tmp_path / "tiny-imagenet-200" / "wnids.txt").write_text("n01443537\n")
    assert data("tiny-imagenet", "--folder", str(tmp_path)) == 0
