"""The user's data: a .npz (X, y) or a CSV, checked before and after it is read."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from io import BytesIO

import numpy as np

from app.checkpoints.errors import shown

MB = 2**20
#: Bytes of a file, and of X and y together once unpacked.
FILE_BYTES = 50 * MB
#: Cells of a CSV: as float64 they take 64 MB.
CELLS = 8_000_000
#: Bytes of a .npz's list of records; X and y take about 100.
DIRECTORY_BYTES = 64 * 1024

#: X (N, ...) float32 and y (N,) int64.
Table = tuple[np.ndarray, np.ndarray]

_TABLE = "a .npz with arrays X and y, or a CSV whose last column (or one named y) is the label"


class DataProblem(ValueError):  # noqa: N818 (a sentence for the person who brought the file)
    """Data that cannot be used, in one sentence; names out of the file are escaped."""


def problem(found: str, expected: str, advice: str) -> DataProblem:
    """One sentence: what was found, what was expected, what to do."""
    return DataProblem(f"The data: {found}; expected {expected}: {advice}.")


def read_table(data: bytes, filename: str) -> Table:
    """X and y out of an uploaded file.

    Args:
        data: the whole file.
        filename: its end tells .npz from .csv; never used as a path.

    Returns:
        X of (N, ...), float32 and finite, and y (N,) int64.

    Raises:
        DataProblem: it is no such file, too large, or holds something else than numbers.
    """
    if len(data) > FILE_BYTES:
        raise problem(f"the file has {len(data) / MB:.0f} MB", "at most 50 MB", "use fewer rows")
    if not data:
        raise problem("the file is empty", _TABLE, "choose another file")
    if data[:4] == b"PK\x03\x04":
        X, y = _read_npz(data)
    elif filename.lower().endswith((".csv", ".txt", ".tsv")):
        X, y = _read_csv(data)
    else:
        raise problem(f"{shown(filename)} is neither", _TABLE, "save it as one of them")
    return _checked(X, y)


def _read_npz(data: bytes) -> Table:
    _check_directory(data)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = {name: _info(archive, name) for name in ("X", "y")}
            declared = sum(info.file_size for info in infos.values())
            if declared > FILE_BYTES:
                raise problem(
                    f"X and y unpack to {declared / MB:.0f} MB", "at most 50 MB", "use fewer rows"
                )
            arrays = {name: _array(name, archive.read(info)) for name, info in infos.items()}
    # RuntimeError is zipfile's for a password.
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise problem(
            "the .npz is damaged or encrypted", _TABLE, "save it again with numpy.savez"
        ) from error
    return arrays["X"], arrays["y"]


def _check_directory(data: bytes) -> None:
    """Refuse a list of records that would fill memory by itself, before zipfile reads it."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if end < 0 or end + 22 > len(data):
        raise problem("the .npz is cut off", _TABLE, "save it again with numpy.savez")
    (size,) = struct.unpack_from("<L", data, end + 12)
    if size > DIRECTORY_BYTES or data[max(0, end - 20) :].startswith(b"PK\x06\x07"):
        raise problem("the .npz holds very many records", "arrays X and y", "save these two alone")


def _info(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
    if len(found) != 1:
        held = ", ".join(shown(info.filename) for info in archive.infolist()[:10])
        raise problem(
            f"the .npz holds {held or 'nothing'}",
            "X.npy and y.npy, once each",
            "save it with numpy.savez('data.npz', X=X, y=y)",
        )
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise problem(
            f"{name}.npy is packed in an unusual way",
            "an archive of numpy.savez or numpy.savez_compressed",
            "save it again with one of them",
        )
    return found[0]


#: What numpy's reader of a header, which parses Python's own literals, may raise.
_BAD_HEADER = (
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


def _array(name: str, raw: bytes) -> np.ndarray:
    """An array whose header does not claim more than there is."""
    file = BytesIO(raw)
    try:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = readers[version](file)
    except _BAD_HEADER as error:
        raise problem(
            f"{name} is no array of numbers", "a numpy array", "save it with numpy.savez"
        ) from error
    if dtype.kind not in "fiub" or dtype.hasobject or dtype.itemsize > 8:
        raise problem(
            f"{name} is of type {shown(str(dtype))}", "plain numbers", "convert it with astype"
        )
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != len(raw) - file.tell():
        raise problem(
            f"{name} claims the shape {shown(shape)} and holds another number of bytes",
            "as many as its shape says",
            "save it with numpy.savez",
        )
    flat = np.frombuffer(raw, dtype, count, file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_csv(data: bytes) -> Table:
    import pandas as pd

    separators = max(data.count(b","), data.count(b";"), data.count(b"\t"))
    if separators + data.count(b"\n") > CELLS:
        raise problem(
            f"the CSV has about {separators} cells", f"at most {CELLS}", "use fewer rows, or a .npz"
        )
    try:
        text = data.decode("utf-8-sig")
        first = text.lstrip().split("\n", 1)[0]
        separator = max(",;\t", key=first.count)
        named = not all(_is_number(cell) for cell in first.split(separator))
        frame = pd.read_csv(
            BytesIO(text.encode()), sep=separator, header=0 if named else None, low_memory=False
        )
    except (UnicodeDecodeError, ValueError, RecursionError, OverflowError) as error:
        raise problem(
            "the CSV is not a plain table of numbers in UTF-8", _TABLE, "save it as one"
        ) from error
    if frame.shape[1] < 2:
        raise problem(
            f"the CSV has {frame.shape[1]} column", "features and a label", "check the separator"
        )
    for column, dtype in frame.dtypes.items():
        if dtype.kind not in "fiub":
            raise problem(
                f"the column {shown(str(column))} does not hold numbers alone",
                "numbers in every cell",
                "encode it, or leave it out",
            )
    labels = frame["y"] if "y" in frame.columns else frame[frame.columns[-1]]
    features = frame.drop(columns=[labels.name])
    return features.to_numpy(np.float64), labels.to_numpy()


def _is_number(cell: str) -> bool:
    """Whether a cell of the first row is none of a header's; an empty one is a missing number."""
    try:
        float(cell.strip().strip('"') or "nan")
    except ValueError:
        return False
    return True


def _checked(X: np.ndarray, y: np.ndarray) -> Table:
    """Finite numbers and whole labels, as many of one as of the other."""
    if X.ndim < 2 or y.ndim != 1 or len(X) != len(y) or len(y) < 2 or X.size == 0:
        raise problem(
            f"X has shape {shown(X.shape)} and y {shown(y.shape)}",
            "(N, ...) and (N,), N at least 2",
            "one row a sample",
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which is refused
        inputs = np.ascontiguousarray(X, dtype=np.float32)
    broken = int(inputs.size - np.isfinite(inputs).sum())
    if broken:
        raise problem(
            f"{broken} values of X are missing, NaN or infinite as float32",
            "finite numbers",
            "fill or drop those rows",
        )
    whole = np.isfinite(y) & (y == np.floor(y)) if y.dtype.kind == "f" else np.ones(len(y), bool)
    if not whole.all():
        raise problem(
            f"{int((~whole).sum())} labels are not whole numbers",
            "labels 0, 1, 2, ...",
            "encode the classes, for example with pandas.factorize",
        )
    if y.min() < 0 or y.max() >= 1_000_000:
        raise problem(
            f"labels lie between {y.min():g} and {y.max():g}",
            "0 to the number of classes less 1",
            "encode the classes, for example with pandas.factorize",
        )
    return inputs, y.astype(np.int64)
