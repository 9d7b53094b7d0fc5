"""A run as files: the lab's own parts and numbers, escaped, and read back without pickles."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields, replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given

from app.charts.board import line_parts, slow_parts
from app.experiment import MOST_BYTES, Experiment
from app.export.numbers import run_json
from app.export.page import PLACES, run_html
from app.export.plane import slice_npz
from app.export.taken import Taken, file_name, settings
from app.glossary import TERMS, VIEWS
from app.link import Link, read_link
from app.live.maps import compute_maps
from app.live.run import Run
from app.live.session import Lab
from app.live.view import View
from tests.app.test_charts import view_of
from tests.app.test_experiment import experiments

HOSTILE = "</script><script>document.title='owned'</script>"


class Blocks(HTMLParser):
    """The scripts of a page, and all other text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "script":
            self.scripts.append("")
        assert not [name for name, _ in attrs if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._tag = "" if tag == self._tag else self._tag


@pytest.fixture(scope="module")
def taken() -> Taken:
    """Forty steps of a small network over two seeds, looked at from step 30, hostile words."""
    experiment = Experiment().change(
        scenario="moons", bits=2, seeds=2, slice_resolution=9, map_resolution=5
    )
    run = Run(experiment)
    for _ in range(40):
        run.advance()
        run.record()
    view = replace(view_of(run, experiment).at(30), message=HOSTILE)
    link = Link(experiment, 30).to_query()
    return Taken(view, 30, link, f"From {HOSTILE}.", "2026-01-02T03:04:05+00:00")


@pytest.fixture(scope="module")
def parts(taken: Taken) -> dict:
    page = Blocks(run_html(taken))
    assert len(page.scripts) == 3, "plotly, the data, the drawing"
    assert "<" not in page.scripts[1]
    assert not [text for text in page.words if "owned" in text]
    return json.loads(page.scripts[1])


def test_the_page_holds_the_very_charts_that_the_lab_is_sent(taken: Taken, parts: dict) -> None:
    sent = line_parts(taken.view, 30) | slow_parts(taken.view)
    charts = {name for name, part in sent.items() if "traces" in part}
    assert charts == set(PLACES), "every chart of the lab"
    for name in charts:
        held = parts[f"chart-{name}"]
        for key in ("title", "note", "traces", "layout", "order"):
            assert held[key] == json.loads(json.dumps(sent[name][key])), (name, key)
    sentence = "".join(part["text"] for part in sent["sentence"]["parts"])
    assert parts["words"]["summary"] == [sentence, sent["sentence"]["verdict"]]
    rows = {row["key"]: row["cells"] for row in parts["lanes"]["rows"]}
    for row in sent["table"]["rows"]:
        assert [cell["text"] for cell in row["cells"]] == [
            cell.partition(" (")[0] for cell in rows[row["key"]][1:]
        ]
    assert [cell for cell in rows["sadam"] if " (" in cell], "paired differences"
    assert "in brackets, the paired difference" in parts["lanes"]["title"]


def test_every_part_of_the_page_has_its_terms_and_the_glossary_is_in_it(
    taken: Taken, parts: dict
) -> None:
    views = VIEWS[parts["words"]["page"]]
    assert {n.removeprefix("chart-") for n in parts if n != "words"} == views.keys() - {"table"}
    assert [choice["value"] for choice in parts["lanes"]["choices"]] == ["chatter", "adamw"]
    drawing = Blocks(run_html(taken)).scripts[2]
    assert json.dumps(TERMS["lgi"].text) in drawing
    assert "<" not in drawing.partition("async () => ({")[2].partition("}));")[0]


def test_the_page_says_what_it_is_of(taken: Taken, parts: dict) -> None:
    facts = dict(parts["words"]["facts"])
    assert (
        parts["words"]["title"]
        == "Two moons, MLP with tanh · 2 bit · lr 0.01 · seeds 0 to 1 · step 30"
    )
    assert facts["Shown"] == "step 30 of 40 taken; paused"
    found = re.match(r"\?(\S+) behind", facts["Link"])
    assert found is not None
    query = dict(pair.split("=") for pair in found[1].split("&"))
    assert read_link(query) == Link(taken.view.experiment, 30)
    assert facts["Made"].startswith("2026-01-02T03:04:05+00:00, chatterscope ")
    assert f"torch {torch.__version__}" in facts["Made"]
    text = facts["Training"] + facts["Views"]
    for item in fields(Experiment):
        assert f"{item.metadata['label']}: " in text
    # What may come from elsewhere is there as text, and a title is no place for it.
    assert facts["Start"] == f"From {HOSTILE}. The link does not hold it."
    assert parts["words"]["notes"] == [HOSTILE]


def test_a_chart_that_is_being_computed_says_so(taken: Taken) -> None:
    assert taken.view.maps is not None
    maps = replace(taken.view.maps, working="instability map", done=0.25, fidelity=None)
    page = Blocks(run_html(replace(taken, view=replace(taken.view, maps=maps))))
    charts = json.loads(page.scripts[1])
    said = "Being computed when this was saved: instability map, 25%. "
    assert charts["chart-map"]["note"].startswith(said)
    assert not charts["chart-slice"]["note"].startswith(said)


def test_the_json_holds_the_history_and_opens_as_its_experiment(taken: Taken) -> None:
    text = run_json(taken)
    found = json.loads(text)
    assert found["steps"] == list(range(31))
    assert (found["step"], found["seeds"]) == (30, [0, 1])
    for name, column in taken.view.columns.items():
        held = np.array(found["columns"][name], dtype=float)
        np.testing.assert_array_equal(held.astype(column.dtype), column, err_msg=name)
    lab = Lab(Experiment().change(scenario="abs-l1"))
    try:
        lab.open(text.encode()[: MOST_BYTES + 1])
        assert (lab.experiment, lab.message) == (taken.view.experiment, "")
    finally:
        lab.trainer.close()


def test_what_is_not_finite_is_null(taken: Taken) -> None:
    columns = {"loss": np.array([[np.nan, np.inf], [-np.inf, 0.1]], np.float32)}
    view = replace(taken.view, columns=columns)
    assert '"loss": [[null, null], [null, 0.1]]' in run_json(replace(taken, view=view))


@given(experiments)
def test_every_experiment_has_a_name_its_settings_and_a_safe_file_name(
    experiment: Experiment,
) -> None:
    name = file_name(View(experiment, "paused", step=7).name, "slice", "npz")
    assert re.fullmatch(r"chatterscope-[a-z0-9][a-z0-9-]*[a-z0-9]-step-7-slice\.npz", name)
    assert len(name) < 200
    assert [row[0] for row in settings(experiment)] == ["Training", "Views"]


def loaded(taken: Taken) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(slice_npz(taken)), allow_pickle=False) as file:
        return dict(file)


def test_the_npz_holds_the_slice_the_map_and_the_paths(taken: Taken) -> None:
    found, view = loaded(taken), taken.view
    maps = view.maps
    assert maps is not None
    assert maps.slice is not None
    assert maps.map is not None
    assert maps.fidelity is not None
    np.testing.assert_array_equal(found["losses"], maps.slice.losses)
    np.testing.assert_array_equal(found["map_lgi"], maps.map.values["lgi"])
    np.testing.assert_array_equal(found["map_a"], maps.map.a)
    assert int(found["map_k"]) == maps.map.k
    assert found["path_steps"].tolist() == list(range(31))
    assert found["paths"].shape == (31, 3, 2)
    assert tuple(found["lanes"]) == view.experiment.lanes
    assert int(found["plane_step"]) == 40
    assert found["fidelity"].tolist() == pytest.approx(
        [
            maps.fidelity.variance_share,
            maps.fidelity.median_loss_error,
            maps.fidelity.largest_distance,
        ]
    )
    about = json.loads(str(found["about"]))
    assert Experiment.from_query(about["experiment"]) == view.experiment
    assert about["plane"] == "PCA of all paths"
    # The vectors are those of the plane: the loss at one of its points is the slice's.
    at = found["origin"] + found["a"][2] * found["axes"][0] + found["b"][5] * found["axes"][1]
    point = torch.tensor(at, dtype=torch.float32)
    loss = Run(view.experiment).objective.losses(point[None])
    assert float(loss) == pytest.approx(found["losses"][5, 2], rel=1e-3)


def test_a_slice_that_has_begun_is_saved_with_its_gaps() -> None:
    experiment = Experiment().change(scenario="rosenbrock", slice_resolution=33)
    run = Run(experiment)
    parts = compute_maps(experiment, run, 0)
    maps = next(part for part in parts if part.slice and np.isnan(part.slice.losses).any())
    run.place(maps.plane)
    view = View(experiment, "paused", maps=maps, **run.known())
    found = loaded(Taken(view, None, {}, "", ""))
    assert np.isnan(found["losses"]).any()
    assert np.isfinite(found["losses"]).any()
    assert np.isnan(found["fidelity"]).all(), "a function is its own plane"
    assert not [name for name in found if name.startswith("map_")]
    assert found["axes"].tolist() == [[1, 0], [0, 1]]
