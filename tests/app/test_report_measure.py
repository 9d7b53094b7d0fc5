"""The report's figures against the lab, torch's own optimizer, dense algebra and closed forms."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.func import functional_call

from app.checkpoints import Checkpoint, read_checkpoint
from app.report.findings import Around, LayerReading, Report
from app.report.layers import layer_readings
from app.report.measure import Second, complete, inspect
from app.report.networks import networks_of
from app.report.page import report_json
from app.report.registered import registered_network
from app.report.samples import best_fit, samples_of
from app.report.step import StateProblem, edge_of, law_quantile, moments_of
from app.report.words import fourth_at_sigma, fourth_power, summary, texture
from demo_models.networks import QuantLinear
from demo_models.problem import Problem
from probes import Objective
from tests.app.report_cases import (
    module_of,
    network_of,
    reports,
    safe_checkpoint,
    tiny,
    torch_file,
    trained,
    with_adam,
)

#: Scenarios from smooth to a staircase.
SMOOTH_TO_ROUGH = ("digits-gelu", "digits-32bit", "digits-4bit", "digits-2bit")


def as_read(content: dict[str, object]) -> Checkpoint:
    return read_checkpoint(torch_file(content), "model.pt")


def with_radii(found: object) -> Report:
    """The first report with the curves of all directions."""
    for report in found:  # type: ignore[attr-defined]
        if report.readings.radii is not None and report.readings.radii.directions == 16:
            found.close()  # type: ignore[attr-defined]
            return report
    raise AssertionError("no curves")


def numbers(report: Report) -> dict[str, object]:
    """A report as JSON without what the file itself is called and holds."""
    found = json.loads(report_json(report))
    del found["subject"]["found"], found["subject"]["file"]
    return found


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    """What `samples_of` makes for the tiny network."""
    (network,) = networks_of(tiny().state_dict())
    samples = samples_of(network)
    return samples.inputs, samples.labels


@pytest.fixture(scope="module")
def adam(batch: tuple[Tensor, Tensor]) -> Checkpoint:
    """The tiny network after three steps of AdamW, with its state."""
    return as_read(with_adam(tiny(), batch))


@pytest.fixture(scope="module")
def whole(adam: Checkpoint) -> Report:
    """Its complete report, with a second file."""
    (network,) = networks_of(adam.tensors)
    second = Second("b.pt", network.with_tensors(tiny(1).state_dict()))
    return complete(inspect(adam, "a.pt", network, samples_of(network), second=second))


def exact(adam: Checkpoint, batch: tuple[Tensor, Tensor]) -> tuple[Objective, nn.Module]:
    (network,) = networks_of(adam.tensors)
    objective = Objective.from_module(network.module, Problem.loss, batch, dtype=torch.float64)
    return objective, network.module


@pytest.mark.parametrize("scenario", ["digits-2bit", "digits-noise", "cnn-2bit", "digits-residual"])
def test_the_loss_is_the_labs(scenario: str) -> None:
    run = trained(scenario, 6)
    checkpoint = safe_checkpoint(dict(module_of(run).state_dict()))
    # Scenarios that differ in their batch alone, or in their labels, are one network.
    key = {"digits-noise": "digits-32bit"}.get(scenario, scenario)
    report = next(reports(checkpoint, key))
    lab = float(run.history.column("probe_loss")[-1, 0])
    if scenario == "digits-noise":
        loss = run.test and float(run.objective.losses(run.ensemble.theta)[0])
        assert report.loss != pytest.approx(loss, abs=1e-3), "the clean labels, as the title says"
        return
    assert report.loss == pytest.approx(lab, abs=1e-6)
    accuracy = float(run.history.column("accuracy")[-1, 0])
    assert report.unseen == pytest.approx(accuracy, abs=1e-6)


def test_a_safetensors_twin_and_a_renamed_prefix_give_the_same_report() -> None:
    tensors = dict(tiny(3).state_dict())
    first = numbers(complete(reports(as_read({"model": tensors}))))
    twin = numbers(complete(reports(read_checkpoint(save(tensors), "model.safetensors"))))
    renamed = {f"module._orig_mod.{name}": tensor for name, tensor in tensors.items()}
    prefixed = numbers(complete(reports(safe_checkpoint(renamed))))
    assert first == twin
    assert first == prefixed
    other = numbers(complete(reports(safe_checkpoint(tiny(4).state_dict()))))
    assert other != first, "so that equality says something"


def test_fourth_differences_order_smooth_kinks_and_stairs() -> None:
    fourth, power = [], []
    for scenario in SMOOTH_TO_ROUGH:
        checkpoint = safe_checkpoint(dict(module_of(trained(scenario, 100)).state_dict()))
        report = with_radii(reports(checkpoint, scenario))
        assert report.readings.setup.sigma == 0.01
        assert report.readings.setup.dtype == "float64"
        fourth.append(fourth_at_sigma(report))
        power.append(fourth_power(report))
    assert fourth == sorted(fourth), fourth
    assert fourth[1] > 100 * fourth[0]
    assert fourth[2] > 100 * fourth[1]
    # Taylor: r^4 where smooth; a kink's size grows with r, a jump's does not.
    assert power[0] == pytest.approx(4.0, abs=0.1)
    assert 1.25 < power[1] < 3.0
    assert max(power[2:]) < 1.25
    words = [texture(p) for p in power]
    assert words == ["smooth", "full of small kinks", "a staircase", "a staircase"]
    assert texture(float("nan")) == "smooth as far as float64 tells"
    assert texture(4.0, stairs=True) == "a staircase"


def test_sharpness_is_the_dense_hessians(adam: Checkpoint, batch: tuple[Tensor, Tensor]) -> None:
    objective, _ = exact(adam, batch)
    hessian = torch.autograd.functional.hessian(objective.loss, objective.theta)
    assert isinstance(hessian, Tensor)
    network = network_of(adam)
    plain = edge_of(objective, network, None)
    assert plain.limit is None
    largest = float(torch.linalg.eigvalsh(hessian)[-1])
    assert plain.measured.value == pytest.approx(largest, rel=1e-5)
    edge = edge_of(objective, network, adam.optimizer)
    moments = moments_of(objective.layout, network, adam.optimizer)  # type: ignore[arg-type]
    # torch's AdamW: lr m_hat / (sqrt(v_hat) + eps), so D = (1 - b1^t)(sqrt(v/(1 - b2^t)) + eps).
    scale = (1 - 0.9**3) * ((moments.v / (1 - 0.999**3)).sqrt() + 1e-8)
    root = scale.rsqrt()
    largest = float(torch.linalg.eigvalsh(root[:, None] * hessian * root)[-1])
    assert edge.measured.value == pytest.approx(largest, rel=1e-4)
    assert edge.limit == pytest.approx(38 / 0.01)  # Cohen et al. 2022: 38 / lr at beta1 0.9
    assert edge.share == pytest.approx(largest / 3800, rel=1e-4)


def test_the_next_step_is_torchs_own(
    whole: Report, adam: Checkpoint, batch: tuple[Tensor, Tensor]
) -> None:
    module = tiny()
    module.load_state_dict(adam.tensors)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    content = with_adam(tiny(), batch)
    optimizer.load_state_dict(content["optimizer_state_dict"])  # type: ignore[arg-type]
    module.double()
    for state in optimizer.state.values():
        state.update({n: state[n].double() for n in ("exp_avg", "exp_avg_sq")})
    before = nn.utils.parameters_to_vector(module.parameters()).detach().clone()
    loss = nn.functional.cross_entropy(module(batch[0].double()), batch[1])
    loss.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters()])  # type: ignore[union-attr]
    optimizer.step()
    after = nn.functional.cross_entropy(module(batch[0].double()), batch[1])
    update = nn.utils.parameters_to_vector(module.parameters()).detach() - before
    step = whole.step
    assert step is not None
    assert step.length == pytest.approx(float(update.norm()), rel=1e-9)
    assert step.line.promised == pytest.approx(float(gradient @ update), rel=1e-9)
    assert step.line.got == pytest.approx(float((after - loss).detach()), rel=1e-9)
    assert (step.step, step.lr) == (4, 0.01)
    assert step.damping == pytest.approx(math.exp(-2 * step.rho))
    assert step.law == pytest.approx(0.30850832)  # e^-2 I0(2)


@pytest.mark.parametrize("damping", [0.02, 0.1, 0.3, 0.9, 1.0])
def test_the_quantile_of_a_damping_is_the_arcsine_laws(damping: float) -> None:
    # k 2: rho / 2 ~ Beta(1/2, 1/2), whose distribution function is (2 / pi) asin(sqrt(x)).
    rho = -math.log(damping) / 2
    expected = 1 - 2 / math.pi * math.asin(math.sqrt(rho / 2)) if rho < 2 else 0.0
    assert law_quantile(damping) == pytest.approx(expected, abs=1e-12)


def test_layer_by_layer_finds_the_rounded_one_and_every_gradient() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, 32), nn.Tanh(), QuantLinear(32, 32, 2), nn.Tanh(), nn.Linear(32, 3)
        )

    made = factory()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.3, 0.3, generator=draw)
    network = registered_network(dict(made.state_dict()), lambda: made)
    samples = samples_of(network)
    batch = (samples.inputs, samples.labels)
    objective = Objective.from_module(network.module, Problem.loss, batch, dtype=torch.float64)
    *_, (layers, done) = layer_readings(objective, network, Around(function="digits-32bit"))
    assert done == 1.0
    assert [layer.name for layer in layers] == ["0", "2", "4"]
    assert [layer.parameters for layer in layers] == [224, 1056, 99]
    smooth = [grows(layers[0]), grows(layers[2])]
    assert smooth == pytest.approx([4.0, 4.0], abs=0.1)  # Taylor
    assert grows(layers[1]) < 2.0, "jumps: at most 1, but for the scatter of 32 directions"
    assert layers[1].rough > 1e3 * max(layers[0].rough, layers[2].rough)
    whole = float(objective.gradients(objective.theta[None])[0].norm())
    assert math.hypot(*(layer.gradient for layer in layers)) == pytest.approx(whole)
    assert layers[0].mean("lgi") == pytest.approx(1.0, abs=0.35), "a slope, 16 draws of 2"
    assert layers[0].mean("asymmetry") < 0.1


def grows(layer: LayerReading) -> float:
    """The power of the radius with which a layer's fourth differences grow."""
    known = np.isfinite(layer.fourth) & (layer.fourth > 0)
    assert known.sum() >= 3
    return float(np.polyfit(np.log(layer.radii[known]), np.log(layer.fourth[known]), 1)[0])


def test_directions_of_a_layer_leave_the_others_alone() -> None:
    (network,) = networks_of(tiny().state_dict())
    samples = samples_of(network)
    seen: list[Tensor] = []

    def loss(points: Tensor) -> Tensor:
        seen.append(points.clone())
        return points.square().sum(dim=1)

    objective = Objective.from_module(
        network.module, Problem.loss, (samples.inputs, samples.labels), dtype=torch.float64
    )
    objective.losses = loss
    *_, (layers, _) = layer_readings(objective, network, Around(function="digits-32bit"), 0.25)
    moved = torch.cat(seen) - objective.theta
    spans = {}
    for entry in objective.layout:
        owner = entry.name.partition(".")[0]
        spans.setdefault(owner, []).extend(range(entry.start, entry.stop))
    assert len(layers) == len(spans) == 3
    touched = [moved[:, index].abs().sum(dim=1) > 0 for index in spans.values()]
    assert int(torch.stack(touched).sum(dim=0).max()) == 1, "one layer at a time"
    assert all(bool(t.any()) for t in touched)
    # |theta + r u|^2 is a parabola along every ray: no fourth difference is left.
    assert all(np.isnan(layer.fourth).all() for layer in layers)


def test_the_way_between_two_files_starts_and_ends_at_them(
    whole: Report, adam: Checkpoint, batch: tuple[Tensor, Tensor]
) -> None:
    found = whole.between
    assert found is not None
    assert found.plane is not None

    def loss(tensors: dict[str, Tensor]) -> float:
        exactly = {name: t.double() for name, t in tensors.items()}
        output = functional_call(tiny().double(), exactly, (batch[0].double(),))
        return float(nn.functional.cross_entropy(output, batch[1]))

    first, second = adam.tensors, dict(tiny(1).state_dict())
    half = {name: (first[name] + second[name]) / 2 for name in first}
    assert found.loss[0] == pytest.approx(loss(first), abs=1e-9)
    assert found.loss[20] == pytest.approx(loss(half), abs=1e-6)
    assert found.loss[-1] == pytest.approx(loss(second), abs=1e-9)
    assert found.accuracy[0] == pytest.approx(whole.accuracy, abs=1e-6)
    across = np.sqrt(sum(float((first[n] - second[n]).square().sum()) for n in first))
    assert found.distance == pytest.approx(across, rel=1e-6)
    a, b = found.plane.a, found.plane.b
    row = int(np.flatnonzero(b == 0)[0])
    ends = [int(np.flatnonzero(a == t)[0]) for t in (0.0, 1.0)]
    assert found.plane.losses[row, ends] == pytest.approx([found.loss[0], found.loss[-1]])
    # Up is down the gradient: the loss falls for a short way.
    small = loss(first)
    assert np.nanmin(found.plane.losses[row : row + 2, ends[0]]) <= small
    assert found.barrier >= 0
    assert len(found.rough_t) == 11


def test_two_files_of_the_same_weights_have_no_way_between(adam: Checkpoint) -> None:
    (network,) = networks_of(adam.tensors)
    second = Second("b.pt", network)
    report = complete(inspect(adam, "a.pt", network, samples_of(network), second=second))
    assert report.between is None
    assert report.notes[-1] == (
        "Not measured, the way to the second file: both files hold the same weights, so there is "
        "no line between them"
    )


def test_a_complete_report_says_where_and_whether(whole: Report) -> None:
    where, chatter = summary(whole)
    assert whole.done == 1.0
    assert whole.working == ""
    assert where.startswith(f"Loss {whole.loss:.2f}, {whole.accuracy:.1%} right on 512 random")
    assert "(not the model's real loss)" in where
    assert "within 0.01 of the weights the loss is" in where
    assert chatter.startswith("Adam's next step (length ")
    assert chatter.count(".") >= 3
    assert "sharpness is" in chatter
    assert "where a plain slope gives 31% on average." in chatter


def test_adams_state_that_does_not_fit_is_a_note(adam: Checkpoint) -> None:
    state = adam.optimizer
    assert state is not None
    short = replace(state, moments={i: m for i, m in state.moments.items() if i != 2})
    (network,) = networks_of(adam.tensors)
    samples = samples_of(network)
    objective = Objective.from_module(
        network.module, Problem.loss, (samples.inputs, samples.labels)
    )
    with pytest.raises(StateProblem) as problem:
        moments_of(objective.layout, network, short)
    assert str(problem.value) == (
        "Adam's state in the file fits 5 of 6 parameter tensors; expected all of them."
    )
    report = complete(inspect(replace(adam, optimizer=short), "a.pt", network, samples))
    assert str(problem.value) in report.notes
    assert report.step is None
    assert report.edge is not None
    assert not report.edge.preconditioned


def test_nameless_moments_go_by_their_place(adam: Checkpoint) -> None:
    state = adam.optimizer
    assert state is not None
    (network,) = networks_of(adam.tensors)
    samples = samples_of(network)
    objective = Objective.from_module(
        network.module, Problem.loss, (samples.inputs, samples.labels)
    )
    nameless = replace(state, moments={i: replace(m, name=None) for i, m in state.moments.items()})
    named, placed = (moments_of(objective.layout, network, s) for s in (state, nameless))
    assert torch.equal(named.m, placed.m)
    assert torch.equal(named.v, placed.v)
    assert named.step == placed.step == 3


def test_measuring_changes_neither_weights_nor_buffers() -> None:
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    tensors = dict(made.state_dict())
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    network = registered_network(tensors, lambda: made)
    checkpoint = Checkpoint(tensors, None, safe_checkpoint(tensors).meta)
    report = complete(inspect(checkpoint, "m.pt", network, samples_of(network)))
    assert report.done == 1.0
    assert report.map is not None
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, kept[name]), name


def test_the_global_generator_is_left_alone() -> None:
    tensors = tiny().state_dict()
    state = torch.random.get_rng_state()
    best_fit(networks_of(tensors))
    next(reports(safe_checkpoint(tensors)))
    assert torch.equal(state, torch.random.get_rng_state())
