"""Gate 3, outside: torch meets the file in a process of its own, and only numbers come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.checkpoints.archive import Archive
from app.checkpoints.errors import SAVE_AGAIN, CheckpointError
from app.checkpoints.layout import Described
from app.checkpoints.limits import (
    CHILD_BYTES,
    CHILD_SECONDS,
    CHILDREN,
    HEADER_BYTES,
    LOAD_SECONDS,
    TENSOR_BYTES,
)
from app.checkpoints.turns import Queue

__all__ = ["load_apart"]

_CHILD = Path(__file__).with_name("child.py")
_QUEUE = Queue(CHILDREN)
#: What a fresh interpreter needs of the environment; nothing else of it is for a stranger's file.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def load_apart(
    archive: Archive,
    wanted: Mapping[Any, Described],
    on_wait: Callable[[int], None] | None = None,
) -> bytes:
    """Let torch load an archive in a fresh process and give back a safetensors file.

    Args:
        archive: what gate 1 let through.
        wanted: path of keys to each tensor -> what gate 2 found there.
        on_wait: told its place while two other files are being loaded; see `Queue.turn`.

    Returns:
        The bytes of a safetensors file; the i-th tensor of `wanted` is named str(i).

    Raises:
        CheckpointError: the process failed, or ran out of time or memory.
    """
    plan = [(path, tensor.dtype, tensor.shape) for path, tensor in wanted.items()]
    with TemporaryDirectory(prefix="checkpoint-") as folder, _QUEUE.turn(on_wait):
        source, listed, out = (Path(folder, name) for name in ("source", "plan", "out"))
        archive.write(str(source))
        listed.write_text(json.dumps(plan), "utf-8")
        _run([str(_CHILD), str(source), str(listed), str(out)], folder)
        if not out.is_file() or out.stat().st_size > TENSOR_BYTES + HEADER_BYTES:
            raise _failed()
        return out.read_bytes()


def _run(program: list[str], folder: str) -> None:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _ONE_THREAD
    command = [sys.executable, "-I", *program, str(LOAD_SECONDS), str(CHILD_BYTES)]
    try:
        done = subprocess.run(  # noqa: S603  # our own program and paths of our own making
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"the file did not load within {CHILD_SECONDS} seconds",
            "one that does",
            "try again when the server is less busy, or " + SAVE_AGAIN,
        ) from error
    if done.returncode != 0:
        raise _failed()


def _failed() -> CheckpointError:
    return CheckpointError(
        "torch could not load the file within the time and the memory that one may take",
        "what torch.save writes",
        SAVE_AGAIN,
    )
