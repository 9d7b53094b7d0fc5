"""`python -m app inspect FILE`: the report without the page."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.report.findings import Report

#: The exit code of a file, data or network that is refused.
REFUSED = 2


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what `inspect` takes.

    Args:
        parser: of the sub-command.
    """
    from demo_models.scenario import ACTIVATIONS

    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint to inspect")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="samples: a .npz (X, y), or a CSV with labels last",
    )
    parser.add_argument("--second", type=Path, metavar="FILE", help="another checkpoint of it")
    parser.add_argument(
        "--model", metavar="MOD:FN", help="your network: a function that builds it; it is run"
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, help="of a plain stack (relu)")
    parser.add_argument(
        "--network", metavar="KEY", help="a demo scenario, 'inferred' or 'registered'"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="report.html; .json goes beside it"
    )


def run(options: Namespace) -> int:
    """Inspect a file and write its report.

    Args:
        options: of `add_arguments`.

    Returns:
        0, or 2 for what is refused, with one sentence on stderr.
    """
    import torch

    torch.set_num_threads(1)
    from app.checkpoints import CheckpointError
    from app.report.network import NetworkProblem
    from app.report.page import report_html, report_json
    from app.report.registered import ModelError
    from app.report.tables import DataProblem
    from app.report.words import summary

    try:
        report = _report(options)
    except (CheckpointError, NetworkProblem, DataProblem, ModelError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except OSError as error:
        name = ascii(str(error.filename))
        sys.stderr.write(
            f"{name} was not read ({error.strerror}); expected a file: check the path.\n"
        )
        return REFUSED
    options.out.write_text(report_html(report), encoding="utf-8")
    beside = options.out.with_suffix(".json")
    beside.write_text(report_json(report), encoding="utf-8")
    for text in (*summary(report), f"Written to {options.out} and {beside}."):
        sys.stdout.write(f"{text}\n")
    return 0


def serve_model(name: str) -> None:
    """Offer the network that `--model` names to every upload; one that is refused ends the command.

    It is built once, so that what is wrong with it is said before anybody waits for it.

    Args:
        name: mypackage.mymodule:build.
    """
    from app.report.network import NetworkProblem
    from app.report.registered import ModelError, load_factory, made, register

    try:
        factory = load_factory(name)
        made(factory)
    except (ModelError, NetworkProblem) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
    register(factory)


def _report(options: Namespace) -> Report:
    from app.checkpoints import read_checkpoint
    from app.report.measure import Second, complete, inspect
    from app.report.networks import chosen_networks, networks_of
    from app.report.registered import load_factory, registered_network
    from app.report.samples import best_fit
    from app.report.tables import read_table

    factory = None if options.model is None else load_factory(options.model)
    checkpoint = read_checkpoint(_bytes(options.file), options.file.name)
    table = None if options.data is None else read_table(_bytes(options.data), options.data.name)
    if factory is not None:
        networks = [registered_network(checkpoint.tensors, factory)]
    else:
        features = None if table is None else table[0][0].size
        networks = networks_of(
            checkpoint.tensors,
            values=checkpoint.meta["values"],
            activation=options.activation,
            features=features,
        )
    network, samples, why = best_fit(chosen_networks(networks, options.network), table)
    second = None
    if options.second is not None:
        other = read_checkpoint(_bytes(options.second), options.second.name)
        second = Second(options.second.name, network.with_tensors(other.tensors))
    reports = inspect(checkpoint, options.file.name, network, samples, chosen=why, second=second)
    return complete(reports, _tell)


def _tell(what: str) -> None:
    sys.stderr.write(f"measuring {what}\n")


def _bytes(path: Path) -> bytes:
    from app.checkpoints.limits import FILE_BYTES

    with path.open("rb") as file:
        return file.read(FILE_BYTES + 1)  # the readers refuse what is larger
