"""The report as files and as a command: self-contained, escaped, and one sentence for a refusal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from app.checkpoints import Checkpoint
from app.glossary import VIEWS
from app.report import command
from app.report.findings import Report
from app.report.measure import complete, inspect
from app.report.networks import networks_of
from app.report.page import report_html, report_json, report_parts
from app.report.page_files import PLOTLY
from app.report.rows import figures_table, layers_table, report_words
from app.report.samples import samples_of
from tests.app.report_cases import safe_checkpoint, tiny, torch_file, with_adam

ROOT = Path(__file__).parents[2]
SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "![x](http://e.example/a.png)"


class Scripts(HTMLParser):
    """The scripts of a page, and every tag that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.fetched: list[tuple[str, str]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag == "script"
        if self._open:
            self.scripts.append("")
        self.fetched += [(tag, str(v)) for name, v in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "script"


def attacked() -> Checkpoint:
    """A plain stack whose layers have names that the reader refuses: nothing relies on it."""
    names = {"0": SCRIPT, "2": IMAGE, "4": "a"}
    read = safe_checkpoint(tiny().state_dict())
    renamed = {f"{names[n.partition('.')[0]]}.{n[2:]}": t for n, t in read.tensors.items()}
    return replace(read, tensors=renamed)


@pytest.fixture(scope="module")
def report() -> Report:
    """A complete report of a file with hostile names."""
    checkpoint = attacked()
    (network,) = networks_of(checkpoint.tensors)
    return complete(inspect(checkpoint, f"{SCRIPT}.pt", network, samples_of(network)))


@pytest.fixture(scope="module")
def page(report: Report) -> Scripts:
    parser = Scripts()
    parser.feed(report_html(report))
    return parser


def test_the_html_holds_all_it_needs_and_fetches_nothing(page: Scripts, report: Report) -> None:
    assert page.fetched == []
    assert len(page.scripts) == 3, "plotly, the data, the drawing"
    assert page.scripts[0] == PLOTLY.read_text(encoding="utf-8")
    text = report_html(report)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "http" not in policy[1]


def test_names_out_of_the_file_stand_in_the_data_alone(page: Scripts, report: Report) -> None:
    data = page.scripts[1]
    assert "<" not in data
    parts = json.loads(data)
    names = [row["cells"][1] for row in parts["layers"]["rows"]]
    assert names == [SCRIPT, IMAGE, "a"]
    text = report_html(report)
    assert SCRIPT not in text
    assert "&lt;script&gt;document.title=" in text.partition("</title>")[0]
    # No chart carries a name: plotly reads a part of HTML.
    charts = {n: p for n, p in parts.items() if n.startswith("chart-")}
    assert len(charts) == 14
    for name, chart in charts.items():
        assert "owned" not in json.dumps(chart), name
        assert "example" not in json.dumps(chart), name


def test_every_chart_is_complete(report: Report) -> None:
    parts = {n: p for n, p in report_parts(report).items() if n.startswith("chart-")}
    assert [p["place"] for p in parts.values()] == list(range(len(parts)))
    for name, part in parts.items():
        assert part["traces"], name
        assert part["order"] == list(part["traces"])
        assert part["span"] <= 12
    assert {"chart-slice", "chart-map-lgi", "chart-layers", "chart-radius"} <= parts.keys()
    assert sum(name.startswith("chart-draws-") for name in parts) == 5


def test_every_table_and_chart_has_its_terms(report: Report) -> None:
    parts = report_parts(report)
    views = VIEWS[parts.pop("words")["page"]]
    assert {name.removeprefix("chart-") for name in parts} <= views.keys()
    # What only a second file and Adam's state bring.
    assert {"ahead", "between", "between-plane"} <= views.keys()


def test_random_data_stand_under_a_banner_and_real_ones_do_not(report: Report) -> None:
    assert "NOT the model's real loss" in report_words(report)["banner"]
    real = replace(report, subject=replace(report.subject, real=True))
    assert report_words(real)["banner"] == ""


def test_the_tables_state_what_was_measured(report: Report) -> None:
    rows = {row["key"]: row["cells"] for row in figures_table(report)["rows"]}
    assert rows["loss"][1] == f"{report.loss:.2f}"
    here = report.readings.here
    assert here is not None
    assert rows["lgi"][1] == f"{here.measured.lgi:.{3 if here.measured.lgi < 1 else 2}f}"
    assert {"gradient", "sharpness", "diameter-wide", "stationarity-narrow"} <= rows.keys()
    assert "step" not in rows, "the file has no optimizer"
    layers = layers_table(report)["rows"]
    assert len(layers) == 3
    marked = [row["cells"][4].endswith("roughest") for row in layers]
    assert sum(marked) == 1
    assert marked[int(np.nanargmax([layer.rough for layer in report.layers]))]


def test_the_json_has_every_number_and_null_for_the_unresolved(report: Report) -> None:
    found = json.loads(report_json(report))
    assert found["loss"] == report.loss
    assert found["setup"]["sigma"] == 0.01
    assert len(found["slice"]["losses"]) == 33
    assert len(found["layers"]) == 3
    assert found["layers"][0]["name"] == SCRIPT
    assert "vector" not in found["edge"]["measured"]
    assert found["between"] is None
    assert len(found["readings"]["draws"]["values"]["lgi"]) == 100
    broken = replace(report, loss=float("nan"))
    assert json.loads(report_json(broken))["loss"] is None


# -- the command ---------------------------------------------------------------------------------


def run(*arguments: str | Path) -> int:
    parser = ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(dict(tiny().state_dict())))
    return path


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draws = torch.Generator().manual_seed(1)
    x, y = torch.randn(60, 2, generator=draws), torch.arange(60) % 3
    checkpoint, data = tmp_path / "model.pt", tmp_path / "data.csv"
    checkpoint.write_bytes(torch_file(with_adam(tiny(), (x, y))))
    data.write_text(
        "\n".join(f"{a},{b},{c}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True))
    )
    out = tmp_path / "out.html"
    assert run(checkpoint, "--data", data, "--activation", "relu", "--out", out) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    module = tiny()
    content = torch.load(checkpoint, weights_only=True)
    module.load_state_dict(content["model_state_dict"])
    with torch.no_grad():
        expected = float(nn.functional.cross_entropy(module(x), y))
    assert found["loss"] == pytest.approx(expected, abs=1e-6)
    assert found["subject"]["data"] == "60 samples of the file"
    assert found["step"]["step"] == 4
    assert "<title>Instability report: model.pt</title>" in out.read_text(encoding="utf-8")
    told = capsys.readouterr()
    assert told.out.splitlines()[:2] == found["summary"]
    assert "measuring layer by layer" in told.err


def test_the_activation_is_the_users_choice(file: Path, tmp_path: Path) -> None:
    losses = set()
    for activation in ("relu", "gelu", "tanh"):
        out = tmp_path / f"{activation}.html"
        assert run(file, "--activation", activation, "--out", out) == 0
        found = json.loads(out.with_suffix(".json").read_text())
        assert found["subject"]["network"] == f"plain MLP, 2-5-4-3, {activation}"
        losses.add(found["loss"])
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{here}/nothing.pt"], "nothing.pt' was not read (No such file or directory); expected"),
        (["{file}", "--data", "{file}"], "The data: 'model.safetensors' is neither; expected"),
        (["{file}", "--model", "nowhere"], "--model is 'nowhere'; expected MODULE:FUNCTION"),
        (["{file}", "--network", "digits-2bit"], "The network 'digits-2bit' does not fit"),
        (
            ["{file}", "--model", "torch.nn:Identity"],
            "The file does not fit the registered network",
        ),
        (["{file}", "--second", "{here}/page.py"], "; expected a torch.save archive"),
    ],
)
def test_a_refusal_is_one_sentence_and_writes_nothing(
    arguments: list[str],
    sentence: str,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "page.py").write_text("print('hello')\n" * 20)
    given = [argument.format(file=file, here=tmp_path) for argument in arguments]
    assert run(*given, "--out", tmp_path / "out.html") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert told.err.count("\n") == 1
    assert told.err.endswith(".\n")
    assert not (tmp_path / "out.html").exists()


class Payload:
    """Makes a folder if it is ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.mkdir, (self.marker,))


def test_a_hostile_file_runs_nothing_and_ends_with_code_2(tmp_path: Path) -> None:
    path, marker = tmp_path / "model.pt", tmp_path / "marker"
    path.write_bytes(torch_file({"weight": torch.zeros(2), "x": Payload(marker)}))
    arguments = ["inspect", str(path), "--out", str(tmp_path / "out.html")]
    result = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert "; expected " in result.stderr
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the payload would have worked"


def test_the_report_is_made_without_streamlit() -> None:
    program = (
        "import sys, app.report.command, app.report.measure, app.report.page;"
        "print('streamlit' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
