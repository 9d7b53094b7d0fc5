"""How many arenas of the C library the threads of a server share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Sixteen threads that hold memory at once, and what malloc_info then counts.
COUNT = """
import ctypes, sys, tempfile, threading
from app.live.memory import share_arenas

libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "shared":
    share_arenas()
everybody = threading.Barrier(16)

def hold():
    libc.malloc(1000)
    everybody.wait()

threads = [threading.Thread(target=hold) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


def arenas(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_threads_share_an_arena_a_core() -> None:
    assert arenas("shared") <= max(2, os.cpu_count() or 1)
    assert arenas("each its own") > arenas("shared")
