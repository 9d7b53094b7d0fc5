"""Scenarios: each builds and trains one finite step; bad ones are refused with a sentence."""

from dataclasses import replace

import pytest
import torch

from demo_models.data import DATA_SETS
from demo_models.paper import PAPER
from demo_models.problem import Problem, build
from demo_models.scenario import BUILT_IN, FROM_FILES, NetworkSpec, Scenario
from demo_models.scenarios import DEFAULT, SCENARIOS
from probes import Objective

NETWORKS = pytest.mark.parametrize(
    "key", [key for key, scenario in SCENARIOS.items() if scenario.data in BUILT_IN]
)
FUNCTIONS = pytest.mark.parametrize(
    "key", [key for key, scenario in SCENARIOS.items() if scenario.is_function]
)


def test_the_default_is_that_of_the_design() -> None:
    scenario = SCENARIOS[DEFAULT]
    assert scenario.network == NetworkSpec("mlp", (64, 64), "relu", 2, 2)
    assert (scenario.data, scenario.lr, scenario.batch, scenario.pool) == ("digits", 0.01, 512, 512)
    problem = build(scenario)
    assert problem.train is not None
    assert problem.train[0].shape == (512, 64)
    assert problem.probe is problem.train
    assert problem.start(0).shape == (8970,)


def test_the_papers_scenarios_come_from_files() -> None:
    assert {scenario.key for scenario in PAPER} <= set(SCENARIOS)
    assert {s.data for s in SCENARIOS.values()} == {None, *BUILT_IN, *FROM_FILES}
    assert {s for s in SCENARIOS.values() if s.data in FROM_FILES} == set(PAPER)
    assert set(BUILT_IN) == set(DATA_SETS)
    for data in FROM_FILES:
        own = {s.key: s for s in PAPER if s.data == data and s.key != f"{data}-residual"}
        assert set(own) == {f"{data}-{bits}bit" for bits in (2, 4, 32)}
        assert len({s.name for s in own.values()}) == 1, "one entry of the menu, and the rounding"
        for key, scenario in own.items():
            bits = int(key.rpartition("-")[2].removesuffix("bit"))
            assert scenario.network == NetworkSpec("qat", (16, 32), "relu", bits, bits)
            assert (scenario.batch, scenario.probe) == (128, 256)
    for data in ("cifar10", "cifar100"):
        network = SCENARIOS[f"{data}-residual"].network
        assert network is not None
        assert network.kind == "residual"


@pytest.mark.parametrize("scenario", PAPER, ids=lambda scenario: scenario.key)
def test_the_papers_networks_train_as_a_stack(scenario: Scenario) -> None:
    features = 12288 if scenario.data == "tiny-imagenet" else 3072
    inputs = torch.randn(3, features, generator=torch.Generator().manual_seed(0))
    samples = (inputs, torch.tensor([0, 1, 2]))
    problem = Problem(scenario, None, samples, samples, samples, classes=10)
    objective = Objective.from_module(problem.network(0), problem.loss, samples)
    assert objective.supports_vmap
    losses, gradients = objective.losses_and_gradients(problem.start(1)[None])
    assert losses.isfinite().all()
    assert gradients.isfinite().all()
    assert float(gradients.norm()) > 0


def test_keys_and_titles_name_one_scenario_each() -> None:
    assert all(key == scenario.key for key, scenario in SCENARIOS.items())
    titles = [scenario.title for scenario in SCENARIOS.values()]
    assert len(set(titles)) == len(titles)
    assert all(scenario.about.endswith(".") for scenario in SCENARIOS.values())


@NETWORKS
def test_networks_start_with_a_finite_loss_and_gradient(key: str) -> None:
    problem = build(SCENARIOS[key])
    network = problem.network(0)
    assert problem.probe is not None
    inputs, labels = problem.probe
    output = network(inputs)
    assert output.shape == (len(labels), problem.classes)
    loss = problem.loss(output, labels)
    loss.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert loss.dim() == 0
    assert 0.1 < loss.item() < 10.0
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(float(gradient.norm()) > 0 for gradient in gradients if gradient is not None)
    assert torch.equal(
        problem.start(0), torch.cat([p.detach().reshape(-1) for p in network.parameters()])
    )


@NETWORKS
def test_samples_of_a_network(key: str) -> None:
    scenario = SCENARIOS[key]
    problem = build(scenario)
    assert problem.train is not None
    assert problem.probe is not None
    assert problem.test is not None
    assert scenario.batch <= len(problem.train[1])
    assert len(problem.probe[1]) == min(512, len(problem.train[1]))
    for side in (0, 1):
        assert torch.equal(problem.probe[side], problem.train[side][:512])


@FUNCTIONS
def test_functions_start_with_a_finite_loss_and_gradient(key: str) -> None:
    problem = build(SCENARIOS[key])
    assert problem.function is not None
    assert (problem.train, problem.probe, problem.test, problem.classes) == (None, None, None, 0)
    theta = problem.start(1).requires_grad_()
    loss = problem.function(theta[None])[0]
    (gradient,) = torch.autograd.grad(loss, theta)
    assert loss.isfinite()
    assert bool(gradient.isfinite().all())
    assert float(gradient.norm()) > 0
    with pytest.raises(ValueError, match=r"analytic function and has no network; use \.function"):
        problem.network(0)


def test_error_is_the_share_of_wrong_answers() -> None:
    problem = build(SCENARIOS[DEFAULT])
    output = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [5.0, 4.0]], dtype=torch.float64)
    error = problem.error(output, torch.tensor([0, 1, 1, 0]))
    assert (error.item(), error.dtype, error.dim()) == (0.25, torch.float64, 0)


def test_loss_is_the_mean_cross_entropy() -> None:
    problem = build(SCENARIOS[DEFAULT])
    output = torch.zeros(3, 10, dtype=torch.float64)
    loss = problem.loss(output, torch.tensor([0, 4, 9]))
    torch.testing.assert_close(loss, torch.tensor(10.0, dtype=torch.float64).log())


def test_label_noise_reaches_the_training_labels_alone() -> None:
    noisy, clean = build(SCENARIOS["digits-noise"]), build(SCENARIOS["digits-32bit"])
    assert noisy.train is not None
    assert noisy.test is not None
    assert clean.test is not None
    assert clean.train is not None
    assert torch.equal(noisy.test[1], clean.test[1])
    share = (noisy.train[1][:512] != clean.train[1]).double().mean().item()
    assert share == pytest.approx(0.2, abs=0.06)


def test_rounded_changes_the_bits_and_the_title_alone() -> None:
    scenario = SCENARIOS[DEFAULT]
    off = scenario.rounded(32)
    assert off.network == NetworkSpec("mlp", (64, 64))
    assert (off.key, off.batch, off.pool) == (DEFAULT, 512, 512)
    assert scenario.title.endswith(": 2-bit")
    assert off.title.endswith(": not rounded")
    assert off.rounded(2) == scenario
    mixed = replace(scenario, network=NetworkSpec("mlp", (4,), "relu", 2, 4))
    assert mixed.title.endswith(": weights 2-bit, activations 4-bit")


@NETWORKS
@pytest.mark.parametrize("bits", [32, 4, 2])
def test_every_network_scenario_can_be_rounded_anew(key: str, bits: int) -> None:
    problem = build(SCENARIOS[key].rounded(bits))
    assert problem.probe is not None
    assert problem.network(0)(problem.probe[0][:8]).isfinite().all()


def test_a_function_has_nothing_to_round() -> None:
    with pytest.raises(ValueError, match="'quadratic' is an analytic function and has nothing to"):
        SCENARIOS["quadratic"].rounded(2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"weight_bits": 3}, "weight_bits is 3; expected one of 32, 4, 2."),
        ({"activation_bits": 16}, "activation_bits is 16; expected one of 32, 4, 2."),
        (
            {"kind": "rnn"},
            "kind is 'rnn'; expected one of 'mlp', 'cnn', 'qat', 'residual', 'transformer'.",
        ),
        ({"activation": "elu"}, "activation is 'elu'; expected one of 'relu', 'gelu', 'tanh'."),
        ({"hidden": ()}, "hidden is (); expected at least one layer, each at least 1 wide."),
        (
            {"hidden": (4, 0)},
            "hidden is (4, 0); expected at least one layer, each at least 1 wide.",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        replace(NetworkSpec("mlp", (4,)), **changes)  # type: ignore[arg-type]
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lr": 0.0}, "lr is 0.0; expected more than 0."),
        ({"lr": float("nan")}, "lr is nan; expected more than 0."),
        ({"batch": 0}, "batch is 0; expected at least 1."),
        ({"pool": 0}, "pool is 0; expected at least 1."),
        ({"steps": -1}, "steps is -1; expected at least 1."),
        ({"probe": 0}, "probe is 0; expected at least 1."),
        ({"most_runs": 0}, "most_runs is 0; expected at least 1."),
        ({"label_noise": 1.5}, "label_noise is 1.5; expected 0 to 1."),
        (
            {"data": "mnist"},
            f"data is 'mnist'; expected one of {', '.join(map(repr, BUILT_IN + FROM_FILES))}.",
        ),
    ],
)
def test_a_scenario_out_of_range_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        replace(SCENARIOS[DEFAULT], **changes)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_a_scenario_is_a_network_on_data_or_a_function() -> None:
    text = "expected a network with data, or a function alone"
    with pytest.raises(ValueError, match=text):
        Scenario("a", "A", "A.")
    with pytest.raises(ValueError, match=text):
        Scenario("a", "A", "A.", network=NetworkSpec("mlp", (4,)))
    with pytest.raises(ValueError, match=text):
        replace(SCENARIOS[DEFAULT], function="l1")


def test_a_problem_cannot_ask_for_more_than_there_is() -> None:
    with pytest.raises(ValueError, match=r"pool is 5000; expected at most the 1437 training"):
        build(replace(SCENARIOS[DEFAULT], pool=5000))
    with pytest.raises(ValueError, match=r"batch is 600; expected at most the 512 samples"):
        build(replace(SCENARIOS[DEFAULT], batch=600))
    with pytest.raises(ValueError, match=r"function is 'sphere'; expected one of 'l1', 'rosenb"):
        build(replace(SCENARIOS["quadratic"], function="sphere"))
