"""CIFAR readers: small files of the published format, whole and damaged in every way."""

import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo_models import archives, problem
from demo_models.archives import read_cifar
from demo_models.published import CIFAR, VARIABLE, Archive, DataError, found
from demo_models.scenarios import SCENARIOS

BOTH = pytest.mark.parametrize("name", CIFAR)
PACKING = pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])


def small(name: str, train: int = 7, test: int = 4) -> Archive:
    """The same format with so many records a training file, and to test."""
    archive = CIFAR[name]
    return replace(
        archive,
        train=tuple((file, train) for file, _ in archive.train),
        test=tuple((file, test) for file, _ in archive.test),
    )


def contents(archive: Archive) -> dict[str, bytes]:
    """Random records whose labels are right."""
    rng = np.random.default_rng(0)
    made = {}
    for file, count in (*archive.train, *archive.test):
        rows = rng.integers(0, 256, (count, archive.label_bytes + 3072), dtype=np.uint8)
        rows[:, : archive.label_bytes] = rng.integers(0, 20, (count, archive.label_bytes))
        rows[:, archive.label_bytes - 1] %= archive.classes
        made[file] = rows.tobytes()
    return made


def pack(archive: Archive, files: dict[str, bytes], folder: Path) -> Path:
    path = folder / archive.filename
    with tarfile.open(path, "w:gz") as packed:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{archive.folder}/{file}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def write(archive: Archive, files: dict[str, bytes], folder: Path, packed: bool) -> None:
    if packed:
        pack(archive, files, folder)
        return
    (folder / archive.folder).mkdir()
    for file, content in files.items():
        (folder / archive.folder / file).write_bytes(content)


def refusal(archive: Archive, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_cifar(archive, folder)
    text = str(caught.value)
    assert text.endswith(".")
    assert "; " in text
    return text


@BOTH
@PACKING
def test_records_become_normalised_pixels_and_labels(
    name: str, packed: bool, tmp_path: Path
) -> None:
    archive = small(name)
    files = contents(archive)
    write(archive, files, tmp_path, packed)
    data = read_cifar(archive, tmp_path)
    assert data.classes == {"cifar10": 10, "cifar100": 100}[name]
    assert data.pixels is not None
    for samples, parts in ((data.train, archive.train), (data.test, archive.test)):
        raw = b"".join(files[file] for file, _ in parts)
        rows = np.frombuffer(raw, np.uint8).reshape(-1, archive.label_bytes + 3072)
        assert samples[1].tolist() == rows[:, archive.label_bytes - 1].tolist()
        pixels = rows[:, archive.label_bytes :].reshape(-1, 3, 1024) / 255.0
        expected = (pixels - np.reshape(archive.mean, (3, 1))) / np.reshape(archive.std, (3, 1))
        assert samples[0].shape == (len(rows), 3072)
        assert (samples[0].dtype, samples[1].dtype) == (torch.uint8, torch.int64), "kept as bytes"
        numbers = data.pixels(samples[0])
        assert numbers.dtype == torch.float32
        np.testing.assert_allclose(numbers.numpy(), expected.reshape(-1, 3072), atol=2e-6)
        assert torch.equal(data.pixels(samples[0][None])[0], numbers), "of a batch of every seed"


def test_the_label_of_cifar_100_is_the_fine_one(tmp_path: Path) -> None:
    archive = replace(CIFAR["cifar100"], train=(("train.bin", 1),), test=(("test.bin", 1),))
    record = bytes((19, 99)) + bytes(3072)
    write(archive, {"train.bin": record, "test.bin": record}, tmp_path, packed=False)
    assert read_cifar(archive, tmp_path).train[1].tolist() == [99]


def test_the_published_sizes() -> None:
    assert archives._expected(CIFAR["cifar10"])["data_batch_5.bin"] == 10_000 * 3073
    assert archives._expected(CIFAR["cifar100"])["train.bin"] == 50_000 * 3074
    for archive in CIFAR.values():
        assert sum(count for _, count in archive.train) == 50_000
        assert sum(count for _, count in archive.test) == 10_000
        assert archive.url.endswith("/" + archive.filename)
        assert len(bytes.fromhex(archive.sha256)) == 32


@BOTH
@PACKING
@pytest.mark.parametrize("change", [-1, 3000, 1])
def test_a_file_of_another_size_is_refused(
    name: str, packed: bool, change: int, tmp_path: Path
) -> None:
    archive = small(name)
    files = contents(archive)
    file = archive.test[0][0]
    whole = len(files[file])
    files[file] = files[file][:change] if change < 0 else files[file] + bytes(change)
    write(archive, files, tmp_path, packed)
    assert refusal(archive, tmp_path) == (
        f"{file} has {whole + change:,} bytes; expected {whole:,} for {archive.title}: the file "
        "is cut off or another one, so get it again."
    )


@BOTH
@PACKING
def test_a_label_out_of_range_is_refused(name: str, packed: bool, tmp_path: Path) -> None:
    archive = small(name)
    files = contents(archive)
    file, _ = archive.train[0]
    damaged = bytearray(files[file])
    damaged[3 * (archive.label_bytes + 3072) + archive.label_bytes - 1] = 200
    write(archive, files | {file: bytes(damaged)}, tmp_path, packed)
    assert refusal(archive, tmp_path) == (
        f"{file} has label 200 at record 3; expected 0 to {archive.classes - 1}: the file is "
        "damaged, so get it again."
    )


@BOTH
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    archive = small(name)
    files = contents(archive)
    file = archive.test[0][0]
    del files[file]
    write(archive, files, tmp_path, packed=False)
    assert f"holds no {file}; unpack {archive.filename} again" in refusal(archive, tmp_path)
    pack(archive, files, tmp_path)
    text = refusal(archive, tmp_path)
    assert text.startswith(f"{archive.filename} holds no {archive.folder}/{file}; expected the ")
    assert f"`python -m app data {name}`" in text


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _not_gzip(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>" * 100)


def _not_tar(path: Path) -> None:
    path.write_bytes(gzip.compress(b"plain text" * 1000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _bit(path: Path) -> None:
    """One pixel changed, with the check sum of before."""
    whole = path.read_bytes()
    plain = bytearray(gzip.decompress(whole))
    plain[5000] ^= 1
    path.write_bytes(gzip.compress(bytes(plain))[:-8] + whole[-8:])


@pytest.mark.parametrize("damage", [_cut, _not_gzip, _not_tar, _empty, _bit])
def test_an_archive_that_is_none_is_refused(damage: Callable[[Path], None], tmp_path: Path) -> None:
    archive = small("cifar10")
    damage(pack(archive, contents(archive), tmp_path))
    text = refusal(archive, tmp_path)
    assert text.startswith("cifar-10-binary.tar.gz cannot be read (")
    assert text.endswith("archive as published: delete it and run `python -m app data cifar10`.")


def test_links_and_strange_paths_in_an_archive_are_passed_over(tmp_path: Path) -> None:
    archive = small("cifar100")
    files = contents(archive)
    path = tmp_path / archive.filename
    with tarfile.open(path, "w:gz") as packed:
        link = tarfile.TarInfo(f"{archive.folder}/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        packed.addfile(link)
        outside = tarfile.TarInfo("../../outside.bin")
        packed.addfile(outside)
        member = tarfile.TarInfo(f"{archive.folder}/test.bin")
        member.size = len(files["test.bin"])
        packed.addfile(member, io.BytesIO(files["test.bin"]))
    assert "holds no cifar-100-binary/train.bin" in refusal(archive, tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [archive.filename]


LOOKED_FOR = {
    "cifar10": "cifar-10-binary.tar.gz, or its unpacked folder cifar-10-batches-bin",
    "cifar100": "cifar-100-binary.tar.gz, or its unpacked folder cifar-100-binary",
    "tiny-imagenet": "the folder tiny-imagenet-200",
}
HOW = {
    "cifar10": "run `python -m app data cifar10`, which fetches it",
    "cifar100": "run `python -m app data cifar100`, which fetches it",
    "tiny-imagenet": "unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip there",
}


@pytest.mark.parametrize("name", LOOKED_FOR)
def test_absent_data_say_what_was_looked_for_where_and_what_gets_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}.get(name, "Tiny ImageNet")
    what, how = LOOKED_FOR[name], HOW[name]
    end = f"{how}, or choose a scenario on digits, which needs no files."

    def said() -> str:
        with pytest.raises(DataError) as caught:
            found(name)
        return str(caught.value)

    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert said() == (
        f"{title} was not found in {tmp_path}, which CHATTERSCOPE_DATA names; expected {what}: "
        f"{end}"
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    assert said() == (
        f"{title} was not found: CHATTERSCOPE_DATA names '{tmp_path / 'absent'}', which is no "
        f"folder; expected it to name a folder with {what}: set it and {end}"
    )
    monkeypatch.delenv(VARIABLE)
    assert said().startswith(f"{title} was not found: CHATTERSCOPE_DATA is not set; expected it ")


def test_data_that_are_there_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for name, place in (
        ("cifar100", "cifar-100-binary.tar.gz"),
        ("cifar10", "cifar-10-batches-bin"),
        ("tiny-imagenet", "tiny-imagenet-200"),
    ):
        (tmp_path / place).mkdir()
        assert found(name) == tmp_path


@pytest.mark.parametrize("key", ["cifar10-4bit", "cifar10-residual"])
def test_a_scenario_on_cifar_builds_from_the_environments_folder(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = small("cifar10")
    write(archive, contents(archive), tmp_path, packed=True)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setitem(CIFAR, "cifar10", archive)
    made = problem.build(replace(SCENARIOS[key], batch=5, probe=6))
    assert made.train is not None
    assert made.probe is not None
    assert (made.train[0].dtype, len(made.train[1])) == (torch.uint8, 35)
    assert torch.equal(made.probe[0], made.numbers(made.train)[0][:6])
    assert made.network(0)(made.probe[0]).shape == (6, 10)
    again = problem.build(replace(SCENARIOS["cifar10-2bit"], batch=5))
    assert again.train is not None
    assert again.train[0] is made.train[0], "one copy for all sessions"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ValueError, match="choose a scenario on digits"):
        problem.build(SCENARIOS["cifar100-2bit"])
