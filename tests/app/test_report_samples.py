"""Which data: the digits, the user's file checked before it is read, or stand-ins."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from app.report.networks import networks_of
from app.report.samples import BANNER, best_fit, measured_rows, samples_of
from app.report.tables import CELLS, DataProblem, read_table
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from tests.app.report_cases import tiny

X = np.array([[0.5, 1.0], [2.0, -1.0], [0.0, 3.0]])
Y = np.array([0, 2, 1])


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def packed(records: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (npz(X=X, y=Y), "data.npz"),
        (npz(X=np.asfortranarray(X), y=Y.astype(np.float32), extra=X), "data"),
        (packed({"X.npy": npy(X), "y.npy": npy(Y)}), "data.npz"),
        (b"0.5,1,0\n2,-1,2\n0,3,1\n", "data.csv"),
        (b"a;y;b\n0.5;0;1\n2;2;-1\n0;1;3\n", "DATA.CSV"),
        (b"\xef\xbb\xbfa,b,label\n0.5,1,0\n2,-1,2\n0,3,1\n", "data.csv"),
    ],
)
def test_every_form_gives_the_same_table(data: bytes, name: str) -> None:
    inputs, labels = read_table(data, name)
    np.testing.assert_array_equal(inputs, X)
    np.testing.assert_array_equal(labels, Y)
    assert (inputs.dtype, labels.dtype) == (np.float32, np.int64)


def header(shape: str, dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class Payload:
    """Leaves a marker if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


HOSTILE = {
    "pickled array": (
        packed({"X.npy": npy(np.array([Payload()]), pickled=True), "y.npy": npy(Y)}),
        "X is of type 'object'; expected plain numbers",
    ),
    "bare pickle": (
        packed({"X.npy": pickle.dumps(Payload()), "y.npy": npy(Y)}),
        "X is no array of numbers",
    ),
    "bomb": (
        packed({"X.npy": bytes(600 * 2**20), "y.npy": npy(Y)}),
        "X and y unpack to 600 MB; expected at most 50 MB",
    ),
    "shape without bytes": (
        packed({"X.npy": header("(999999999999, 64)"), "y.npy": npy(Y)}),
        "X claims the shape",
    ),
    "negative shape": (
        packed({"X.npy": header("(-1, 2)") + bytes(16), "y.npy": npy(Y)}),
        "X claims the shape",
    ),
    "long type": (
        packed({"X.npy": header("(1,)", "|V9999999") + bytes(9), "y.npy": npy(Y)}),
        "X is of type",
    ),
    "nested header": (
        packed({"X.npy": header("(" * 5000), "y.npy": npy(Y)}),
        "X is no array of numbers",
    ),
    "one array": (npz(X=X), "the .npz holds 'X.npy'; expected X.npy and y.npy"),
    "lzma": (
        packed({"X.npy": npy(X), "y.npy": npy(Y)}, zipfile.ZIP_LZMA),
        "X.npy is packed in an unusual way",
    ),
    "cut off": (npz(X=X, y=Y)[:200], "the .npz is cut off"),
    "many records": (packed({f"{i}": b"" for i in range(2000)}), "holds very many records"),
    "flipped": (
        npz(X=X, y=Y).replace(X.tobytes(), bytes(X.nbytes)),
        "the .npz is damaged or encrypted",
    ),
    "empty": (b"", "the file is empty"),
    "other": (b"\x89PNG", "'model.csv.png' is neither"),
    "binary csv": (b"\xff\xfe\x00\x01", "not a plain table of numbers in UTF-8"),
    "many cells": (b"," * (CELLS + 1), f"the CSV has about {CELLS + 1} cells"),
    "ragged": (b"1,2,0\n1,2,3,4,5,0\n1,0\n", "not a plain table of numbers"),
    "text": (b"a,b,y\n1,<script>,0\n2,x,1\n", "the column 'b' does not hold numbers alone"),
    "one column": (b"1\n0\n1\n", "the CSV has 1 column"),
    "missing": (b"1,,0\n2,3,1\n", "1 values of X are missing, NaN or infinite"),
    "overflow": (npz(X=X * 1e300, y=Y), "5 values of X are missing, NaN or infinite"),
    "complex": (npz(X=X * 1j, y=Y), "X is of type 'complex128'"),
    "half labels": (npz(X=X, y=Y + 0.5), "3 labels are not whole numbers"),
    "negative labels": (npz(X=X, y=Y - 1), "labels lie between -1 and 1"),
    "lengths": (npz(X=X, y=Y[:2]), "X has shape (3, 2) and y (2,)"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_table_is_one_sentence(case: str) -> None:
    data, found = HOSTILE[case]
    with pytest.raises(DataProblem) as problem:
        read_table(data, "model.csv.png" if case == "other" else "data.csv")
    text = str(problem.value)
    assert text.startswith("The data: ")
    assert found in text
    assert "; expected " in text
    assert text.endswith(".")
    assert "\n" not in text


def test_a_file_of_more_than_50_mb_is_refused_unread() -> None:
    with pytest.raises(DataProblem, match="the file has 51 MB; expected at most 50 MB"):
        read_table(bytes(51 * 2**20), "x.npz")


def test_the_digits_come_where_they_fit_as_the_lab_has_them() -> None:
    module = build(SCENARIOS["digits-32bit"]).network(0)
    probe = build(SCENARIOS["digits-32bit"]).probe
    _, samples, _ = best_fit(networks_of(dict(module.state_dict())))
    assert probe is not None
    assert torch.equal(samples.inputs, probe[0])
    assert torch.equal(samples.labels, probe[1])
    assert samples.real
    assert samples.unseen is not None
    assert len(samples.unseen[1]) == 360


def test_a_registered_image_network_gets_the_digits_as_images() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))

    (network, *_) = networks_of(factory().state_dict(), factory=factory)
    assert samples_of(network).inputs.shape == (512, 1, 8, 8)


def test_random_samples_stand_in_under_a_banner() -> None:
    (network,) = networks_of(tiny().state_dict())
    samples = samples_of(network)
    assert not samples.real
    assert samples.title == "512 random samples of shape (2,)"
    assert samples.inputs.mean().abs() < 0.15
    assert samples.labels.unique().tolist() == [0, 1, 2]
    assert "NOT the model's real loss" in BANNER
    assert torch.equal(samples.inputs, samples_of(network).inputs)


def test_the_users_data_are_taken_and_checked_against_the_network() -> None:
    (network,) = networks_of(tiny().state_dict())
    samples = samples_of(network, read_table(npz(X=X, y=Y), "d.npz"))
    assert samples.real
    assert samples.title == "3 samples of the file"
    wide = read_table(npz(X=np.ones((3, 4)), y=Y), "d.npz")
    with pytest.raises(DataProblem, match=r"a sample of X has 4 numbers; expected 2 for this"):
        samples_of(network, wide)
    high = read_table(npz(X=X, y=Y + 1), "d.npz")
    with pytest.raises(DataProblem, match=r"the highest label is 3; expected 0 to 2"):
        samples_of(network, high)


def test_trying_a_network_leaves_its_statistics_alone() -> None:
    module = build(SCENARIOS["digits-residual"]).network(0)
    network = next(n for n in networks_of(dict(module.state_dict())) if n.key == "digits-residual")
    table = (np.zeros((3, 64), np.float32), Y)
    samples_of(network, table)
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, module.state_dict()[name]), name


def test_instruments_use_a_fixed_draw_and_not_the_first_rows() -> None:
    (network,) = networks_of(tiny().state_dict())
    labels = np.sort(np.arange(900) % 3)
    table = (np.ones((900, 2), np.float32), labels)
    _, chosen = measured_rows(samples_of(network, table), 512)
    assert len(chosen) == 512
    counts = torch.bincount(chosen)
    assert counts.min() > 140
    assert torch.equal(chosen, chosen.sort().values)
