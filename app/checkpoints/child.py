"""Gate 3, inside: a program that loads one archive with torch and writes plain safetensors.

Run as `python -I child.py ARCHIVE PLAN OUT LOAD_SECONDS MORE_BYTES`. It imports nothing of ours,
and whatever goes wrong ends it without OUT. PLAN is a JSON list of [path, dtype, shape]: the keys
that lead to a tensor, and what the earlier gates found there, which it must be.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any


def limit(seconds: int, more_bytes: int) -> None:
    """Bound the time, the memory and the output of this process from now on."""
    if sys.platform == "win32":
        return
    import resource

    cpu = math.ceil(time.process_time()) + seconds  # not the clock: others may keep it waiting
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (more_bytes, more_bytes))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        space = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (space, space))


def load(archive: Path, plan: list[Any], most_bytes: int) -> dict[str, Any]:
    """The tensors of a plan, numbered, as float32 or int64.

    Raises:
        ValueError: what torch loaded is not what was planned.
        Exception: whatever torch raises.
    """
    import torch

    with archive.open("rb") as file:
        top = torch.load(file, map_location="cpu", weights_only=True)
    found = []
    for path, dtype, shape in plan:
        tensor = top
        for key in path:
            tensor = tensor[key]
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            raise ValueError(f"{path} is no tensor")
        there = (str(tensor.dtype), list(tensor.shape), tensor.layout, tensor.device.type)
        if there != (f"torch.{dtype}", shape, torch.strided, "cpu"):
            raise ValueError(f"{path} is not what was planned")
        found.append(tensor.detach())
    if 8 * sum(tensor.numel() for tensor in found) > most_bytes:
        raise ValueError("the tensors are larger than planned")
    return {
        str(i): (t if t.dtype == torch.int64 else t.float()).clone(
            memory_format=torch.contiguous_format
        )
        for i, t in enumerate(found)
    }


def main(archive: str, plan: str, out: str, seconds: str, more_bytes: str) -> None:
    """Load, convert and write."""
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    limit(int(seconds), int(more_bytes))
    tensors = load(Path(archive), json.loads(Path(plan).read_text("utf-8")), int(more_bytes))
    save_file(tensors, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
