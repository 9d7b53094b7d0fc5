"""`python -m tests.load`: thirty pages and three browser tabs on one server, as a table."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.load.crowd import Figures, first_visit, measure
from tests.load.served import served
from tests.load.start import Starts, starts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load")
    parser.add_argument("--pages", type=int, default=30, help="without a browser (30)")
    parser.add_argument("--tabs", type=int, default=3, help="of a real browser (3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training (60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatterscope-") as cache:
        with served(Path(cache)) as server:
            asyncio.run(first_visit(server.url, Path(cache)))
            figures = asyncio.run(measure(server, options.pages, options.tabs, options.seconds))
            problems = server.log.count("Traceback")
        begun = asyncio.run(starts(Path(cache)))
    print(table(figures, begun))
    if problems:
        sys.exit(f"{problems} errors in the server's log")


def table(figures: Figures, begun: Starts) -> str:
    """Both measurements as one Markdown table."""
    steps = sorted(figures.steps)
    rows = [
        ("refreshes a second, slowest page", f"{min(figures.refreshes):.2f}", "≥ 1"),
        ("the same, median", f"{statistics.median(figures.refreshes):.2f}", ""),
        ("of these with another step, slowest page", f"{min(figures.news):.2f}", ""),
        ("the same, median", f"{statistics.median(figures.news):.2f}", ""),
        ("Pause, 95th percentile", f"{figures.pause:.0f} ms", "≤ 250 ms"),
        ("steps, fastest page / slowest", f"{figures.unfairness:.2f}", "≤ 2"),
        ("memory a session over the base", f"{figures.memory:.1f} MB", "≤ 40 MB"),
        ("steps a second, slowest to fastest page", f"{steps[0]:.1f} to {steps[-1]:.1f}", ""),
        ("the server's processors", f"{figures.cpu:.2f}", ""),
        ("data a refresh", f"{figures.kilobytes:.1f} kB", ""),
        ("start to title", f"{begun.known.title:.1f} s", "≤ 3 s"),
        ("start to first charts, kept first run", f"{begun.known.charts:.1f} s", "≤ 5 s"),
        ("start to title, in a new browser", f"{begun.new.title:.1f} s", "≤ 3 s"),
        ("start to first charts, in a new browser", f"{begun.new.charts:.1f} s", "≤ 5 s"),
    ]
    head = (
        f"{figures.visitors} pages without a browser and {figures.browsers} tabs of Chromium, all "
        f"training the default for {figures.seconds:.0f} s. Taken on {time.strftime('%Y-%m-%d')} "
        f"with {os.cpu_count()} CPUs and torch {torch.__version__.partition('+')[0]}."
    )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join((head, "", "| figure | measured | wanted |", "|---|---|---|", *lines))


if __name__ == "__main__":
    main()
