"""`python -m tests.load.soak`: sessions that come, do something at random and go, for ten minutes.

Afterwards the server must hold no more memory than after a warm-up, no thread more, and have logged
no error.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
from dataclasses import dataclass

import torch

from app.live.pulse import REMEMBERED
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from tests.load.served import Served, served
from tests.load.visitor import Visitor

#: Seconds that anything may take before the soak gives up.
PATIENCE = 120.0
#: Seconds of silence after which the soak's server ends a session's threads.
IDLE = "5"
#: Where a session begins: small problems, so that many come and go.
QUERIES = (
    "scenario=moons",
    "scenario=spirals",
    "scenario=abs-l1",
    "scenario=rosenbrock",
    "",
    "v=1",
)


@dataclass(frozen=True)
class Held:
    """What a server holds while nobody is there.

    Args:
        memory: MB.
        threads: that run.
    """

    memory: float
    threads: int


@dataclass(frozen=True)
class Soak:
    """A soak's outcome.

    Args:
        sessions: that came and went.
        warm: what the server held after the warm-up.
        after: what it held in the end.
        errors: tracebacks in its log.
    """

    sessions: int
    warm: Held
    after: Held
    errors: int

    @property
    def growth(self) -> float:
        """Memory in the end over that after the warm-up."""
        return self.after.memory / self.warm.memory


def checkpoint() -> bytes:
    """A file that the page Checkpoint reads: a small network at its initial weights."""
    file = io.BytesIO()
    torch.save(build(SCENARIOS["moons"]).network(0).state_dict(), file)
    return file.getvalue()


async def visit(url: str, draw: random.Random, file: bytes) -> None:
    """One session: it opens, does a few things at random, and goes."""
    page = Visitor(url, draw.choice(QUERIES))
    await page.open()
    await page.until(lambda page: page.status.get("state") not in {None, "preparing"}, PATIENCE)
    for action in draw.choices(("run", "pause", "step", "reset", "change", "upload"), k=4):
        await _do(page, action, draw, file)
    await page.close()


async def _do(page: Visitor, action: str, draw: random.Random, file: bytes) -> None:
    state = page.status["state"]
    if action == "run" and state == "paused":
        before = page.step
        await page.press("Run")
        await page.until(
            lambda page: page.step > before or page.status["state"] != "running", PATIENCE
        )
    elif action == "pause" and state == "running":
        await page.press("Pause")
        await page.until(lambda page: page.status["state"] != "running", PATIENCE)
    elif action in {"step", "reset"}:
        await page.press(action.capitalize())
        await page.until(lambda page: page.status["state"] == "paused", PATIENCE)
    elif action == "change":
        await page.fill("Learning rate", draw.choice((0.001, 0.01, 0.1)))
        await page.fill("Seeds", draw.choice((1, 2, 3)))
        await page.until(lambda page: page.status["state"] != "preparing", PATIENCE)
    elif action == "upload":
        await page.go("checkpoint")
        await page.upload("Checkpoint", "moons.pt", file)
        await page.until(lambda page: page.report, PATIENCE)
        await page.go("")
        await page.until(lambda page: page.status["state"] != "preparing", PATIENCE)


async def soak(
    server: Served, seconds: float, *, at_once: int = 4, seed: int = 0, remembered: float = 0.0
) -> Soak:
    """Let sessions come and go.

    Args:
        server: with an idle time of `IDLE`.
        seconds: after the warm-up.
        at_once: sessions at a time.
        seed: of what they do.
        remembered: seconds to wait before memory is read, as the server remembers a session that
            has gone for so long, and forgets it when the next one goes.
    """
    file, clock, sessions = checkpoint(), asyncio.get_running_loop().time, 0

    async def student(draw: random.Random, until: float) -> None:
        nonlocal sessions
        while True:
            await visit(server.url, draw, file)
            sessions += 1
            if clock() >= until:
                return

    async def students(until: float, first: int) -> None:
        await asyncio.gather(
            *(student(random.Random(first + k), until) for k in range(at_once))  # noqa: S311
        )

    async def rest() -> None:
        if remembered:
            await asyncio.sleep(remembered)
            await visit(server.url, random.Random(seed), file)  # noqa: S311

    # Everything that is done once, and as much at a time as later.
    await students(clock() + min(seconds / 2, 60.0), seed)
    await rest()
    warm = await settled(server)
    await students(clock() + seconds, seed + at_once)
    await rest()
    after = await settled(server, warm)
    return Soak(sessions, warm, after, server.log.count("Traceback"))


async def settled(server: Served, like: Held | None = None) -> Held:
    """What the server holds once nobody's threads are left, or at most what it held before.

    Args:
        server: whose sessions have all gone.
        like: what to wait for; None for the end of all workers that were started.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE
    while clock() < deadline:
        log = server.log
        over = log.count("trainer started") == log.count("trainer closed")
        if over and (like is None or server.threads <= like.threads):
            break
        await asyncio.sleep(0.1)
    return Held(server.memory, server.threads)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak")
    parser.add_argument("--seconds", type=float, default=600.0, help="after the warm-up (600)")
    options = parser.parse_args()
    with served(CHATTERSCOPE_IDLE=IDLE) as server:
        try:
            found = asyncio.run(soak(server, options.seconds, remembered=float(IDLE) + REMEMBERED))
        finally:
            log = server.log
            errors = log.find("Traceback")
            if errors >= 0:
                print(log[errors:])
    print(
        f"{found.sessions} sessions in {options.seconds:.0f} s: memory {found.warm.memory:.0f} MB "
        f"after the warm-up, {found.after.memory:.0f} MB in the end ({found.growth:.2f}); threads "
        f"{found.warm.threads} and {found.after.threads}; errors {found.errors}"
    )
    if found.errors:
        raise SystemExit("the server logged an error")
    if found.growth > 1.1 or found.after.threads > found.warm.threads:
        raise SystemExit("more is held than after the warm-up")


if __name__ == "__main__":
    main()
