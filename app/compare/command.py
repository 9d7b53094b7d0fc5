"""`python -m app compare`: optimizers over many seeds, and a report of them."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.compare.page import Made
    from app.compare.plan import Plan

#: Exit codes: refused, and stopped by Ctrl-C.
REFUSED, STOPPED = 2, 130
#: Options that are fields of `Experiment`: option -> (field, help).
FIELDS = {
    "scenario": ("scenario", "what is trained (digits-2bit)"),
    "lanes": ("lanes", "optimizers, by comma (adamw,sadam,smaller)"),
    "seeds": ("seeds", "how many (1)"),
    "seed": ("seed", "the first of them (0)"),
    "steps": ("steps", "of every run (the scenario's)"),
    "bits": ("bits", "rounding: 2, 4 or off (the scenario's)"),
    "batch": ("batch", "samples a step (the scenario's)"),
    "lr": ("lr", "learning rate of all lanes (the scenario's)"),
    "lambda": ("lgi_lambda", "strength of S-Adam's damping (2)"),
    "k": ("k", "probes a step (2)"),
    "sigma": ("sigma", "radius of a probe (0.01)"),
    "beta1": ("beta1", "momentum of Adam and its kin (0.9)"),
    "reference": ("reference", "the lane that others are compared with (adamw)"),
}
#: What a folder was made for, to go on only with the same.
IDENTITY = "comparison.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what `compare` takes.

    Args:
        parser: of the sub-command.
    """
    for option, (field, text) in FIELDS.items():
        parser.add_argument(f"--{option}", dest=f"field_{field}", metavar="VALUE", help=text)
    parser.add_argument("--tune", choices=("lr",), help="give every lane its own best rate")
    parser.add_argument("--rates", metavar="LOW:HIGH", help="of --tune lr (1e-4:1)")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="compare at each of these values; more than one makes a grid",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (cpu)")
    parser.add_argument("--jobs", default="1", metavar="N", help="seeds trained at once (1)")
    parser.add_argument("--backend", choices=("local", "dask", "ray"), default="local")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a running dask or ray cluster")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder (report)")


def run(options: Namespace) -> int:
    """Compare, and write the report; a second run goes on where the first one was stopped.

    Args:
        options: of `add_arguments`.

    Returns:
        0, 2 for what is refused, with one sentence on stderr, or 130 after Ctrl-C.
    """
    from app.compare.plan import PlanError
    from demo_models.published import DataError

    try:
        _compare(options)
    except (PlanError, DataError) as error:
        _tell(str(error))
        return REFUSED
    except OSError as error:
        name = ascii(str(error.filename or options.out))
        _tell(f"{name} can't be used ({error.strerror or error}); expected a folder to write to.")
        return REFUSED
    except KeyboardInterrupt:
        _tell("Stopped; finished seeds are kept: run the same command again to go on.")
        return STOPPED
    return 0


def _compare(options: Namespace) -> None:
    from app.compare.comparison import compare
    from app.compare.files import write
    from app.compare.overview import Overview
    from app.compare.plan import plans
    from app.compare.progress import Bar
    from app.compare.runner import Runner
    from app.compare.work import Workers

    given = {
        name.removeprefix("field_"): value
        for name, value in vars(options).items()
        if name.startswith("field_") and value is not None
    }
    made = plans(
        given,
        options.grid,
        tune=options.tune is not None,
        rates=options.rates,
        device=options.device,
    )
    workers = Workers(_jobs(options.jobs), options.backend, options.cluster)
    how = _claim(options.out, made)
    folders = {plan: options.out / plan.name.replace(" ", "") for plan in made}
    overview = Overview()
    bar = Bar("runs")
    with workers.open() as train:
        runner = Runner(train, {p: f / "seeds" for p, f in folders.items()}, bar, _tell)
        for result in compare(made, runner):
            write(result, how, folders[result.plan])
            overview.add(result)
    bar.end()
    if options.grid:
        overview.write(how, options.out)
    for text in overview.sentences:
        sys.stdout.write(f"{text}\n")
    sys.stdout.write(f"Written to {options.out / 'report.html'} and beside it.\n")


def _jobs(text: str) -> int:
    from app.compare.plan import PlanError

    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1024:
        raise PlanError(f"--jobs is {text[:40]!a}; expected a whole number from 1 to 1024.")
    return int(text)


def _claim(folder: Path, plans: Sequence[Plan]) -> Made:
    """Note in the folder what it is for; one that is for something else is refused."""
    from app.compare.files import put
    from app.compare.page import Made
    from app.compare.plan import PlanError

    wanted = [_identity(plan) for plan in plans]
    path = folder / IDENTITY
    folder.mkdir(parents=True, exist_ok=True)
    today = date.today().isoformat()
    if path.exists():
        try:
            found = json.loads(path.read_text("utf-8"))
            begun = date.fromisoformat(found["date"]).isoformat()
            same = found["comparison"] == wanted
        except (ValueError, KeyError, TypeError):
            raise PlanError(
                f"{str(path)!a} is damaged, expected what an earlier comparison noted there: give "
                "another --out, or delete that folder."
            ) from None
        if not same:
            raise PlanError(
                f"{str(folder)!a} holds another comparison; expected the same settings to go on: "
                "give another --out, or delete that folder."
            )
        today = begun
    else:
        noted = {"date": today, "comparison": wanted}
        put(path, (json.dumps(noted, indent=1) + "\n").encode())
    return Made(f"python -m app {shlex.join(sys.argv[1:])}", today)


def _identity(plan: Plan) -> dict[str, Any]:
    rates = None if plan.rates is None else [plan.rates.low, plan.rates.high]
    return {
        "experiment": plan.experiment.to_query(),
        "rates": rates,
        "device": plan.device,
        "cell": [list(pair) for pair in plan.cell],
    }


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
