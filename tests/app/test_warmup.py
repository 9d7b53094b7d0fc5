"""What a server loads beside its start is what its first sessions need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Warms up as a server does, trains a step and measures a point as the first visitors do, and
#: prints which modules these loaded, and what a collection takes then.
PROGRAM = """
import gc, json, sys, time
import streamlit.web.bootstrap
from app.live.warmup import warm_up
warm_up()
before = set(sys.modules)
from app.charts.board import line_parts
from app.charts.instruments import instrument_parts
from app.experiment import Experiment
from app.live.bench import Bench
from app.live.measuring import measurements
from app.live.run import Run
from app.live.subject import Subject
from app.setup import Setup
run = Run(Experiment().change(scenario="moons"))
run.advance()
next(iter(measurements(Subject.of(Setup()), Setup())))
begun = time.process_time()
gc.collect()
took = time.process_time() - begun
print(json.dumps({"late": sorted(set(sys.modules) - before), "took": took}))
"""


def test_the_first_sessions_load_nothing_large_and_a_collection_is_short() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = json.loads(result.stdout.splitlines()[-1])
    # Torch loads 800 modules, sympy among them, with its first gradient: a second of processor.
    assert len(found["late"]) < 20, found["late"]
    # Without it 60 ms, after every run of the page's script.
    assert found["took"] < 0.02
