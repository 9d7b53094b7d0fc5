"""Every refusal is a sentence: what was found, what was expected, what to do."""

import re

import pytest
import torch

from sadam import Batches, SAdam, Settings
from tests.sadam.test_optimizer import closure_of, net

NUMBERS = [
    ("lr", -0.1, "lr is -0.1; give a finite number of at least 0."),
    ("lr", "fast", "lr is 'fast'; give a finite number of at least 0."),
    ("lr", True, "lr is True; give a finite number of at least 0."),
    ("betas", (0.9, 1.0), "betas is (0.9, 1.0); give two numbers, each at least 0 and below 1."),
    ("betas", 0.9, "betas is 0.9; give two numbers, each at least 0 and below 1."),
    ("eps", float("nan"), "eps is nan; give a finite number of at least 0."),
    ("weight_decay", -1, "weight_decay is -1; give a finite number of at least 0."),
    ("k_directions", 0, "k_directions is 0; give a whole number of at least 1."),
    ("k_directions", 2.0, "k_directions is 2.0; give a whole number of at least 1."),
    ("sigma", 0.0, "sigma is 0.0; give a finite number above 0."),
    ("lgi_lambda", -2.0, "lgi_lambda is -2.0; give a finite number of at least 0."),
    ("stabilize_eps", -1e-6, "stabilize_eps is -1e-06; give a finite number of at least 0."),
    ("lgi_cap", float("inf"), "lgi_cap is inf; give a finite number above 0."),
    ("sphere", "cube", "sphere is 'cube'; give 'tensor' or 'global'."),
]


@pytest.mark.parametrize(("name", "value", "text"), NUMBERS)
def test_a_bad_value_is_named(name: str, value: object, text: str):
    whole = f"^{re.escape(text)}$"
    with pytest.raises(ValueError, match=whole):
        SAdam(net().parameters(), **{name: value})
    with pytest.raises(ValueError, match=whole):
        Settings(**{name: value})


PAIRS = (
    "give pairs of a lane's key, each key once, and a finite learning rate of at least 0, such as "
    "(('sgd', 0.1),)."
)
OF_ENSEMBLES = [
    ("momentum", 1.0, "momentum is 1.0; give a number of at least 0 and below 1."),
    ("momentum", "most", "momentum is 'most'; give a number of at least 0 and below 1."),
    ("rms_alpha", -0.1, "rms_alpha is -0.1; give a number of at least 0 and below 1."),
    ("l1", float("nan"), "l1 is nan; give a finite number of at least 0."),
    (
        "total_steps",
        0,
        "total_steps is 0; give a whole number of at least 1, or None where no lane decays.",
    ),
    (
        "total_steps",
        1.5,
        "total_steps is 1.5; give a whole number of at least 1, or None where no lane decays.",
    ),
    ("lane_lr", {"sgd": 0.1}, f"lane_lr is {{'sgd': 0.1}}; {PAIRS}"),
    ("lane_lr", (("sgd", -0.1),), f"lane_lr is (('sgd', -0.1),); {PAIRS}"),
    ("lane_lr", (("sgd",),), f"lane_lr is (('sgd',),); {PAIRS}"),
    ("lane_lr", ((1, 0.1),), f"lane_lr is ((1, 0.1),); {PAIRS}"),
    ("lane_lr", (("a", 1.0), ("a", 2.0)), f"lane_lr is (('a', 1.0), ('a', 2.0)); {PAIRS}"),
]


@pytest.mark.parametrize(("name", "value", "text"), OF_ENSEMBLES)
def test_a_bad_value_that_only_an_ensemble_has(name: str, value: object, text: str):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Settings(**{name: value})


def test_settings_are_frozen_all_through():
    settings = Settings(lane_lr=[["sgd", 1], ("adamw", 0.1)])
    assert settings.lane_lr == (("sgd", 1.0), ("adamw", 0.1))
    assert hash(settings) == hash(Settings(lane_lr=(("sgd", 1.0), ("adamw", 0.1))))


def test_an_unknown_instability():
    with pytest.raises(ValueError, match="instability is 'hessian'; give 'lgi'"):
        SAdam(net().parameters(), instability="hessian")


def test_a_missing_closure():
    optimizer = SAdam(net().parameters())
    with pytest.raises(ValueError, match=r"without a closure; .* call step\(closure\)"):
        optimizer.step()


def test_a_closure_without_an_argument():
    optimizer = SAdam(net().parameters())
    with pytest.raises(TypeError, match=r"does not take one argument; write `def closure"):
        optimizer.step(lambda: torch.tensor(1.0))


def test_a_type_error_inside_the_closure_is_the_callers_own():
    optimizer = SAdam(net().parameters())
    with pytest.raises(TypeError, match="unsupported operand"):
        optimizer.step(lambda backward: backward + "x")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, r"closure\(True\) returned None; return the loss"),
        (torch.ones(3), r"returned a tensor of shape \(3,\); return one number"),
    ],
)
def test_a_closure_with_a_wrong_answer(answer: object, text: str):
    optimizer = SAdam(net().parameters())
    with pytest.raises(ValueError, match=text):
        optimizer.step(lambda _: answer)


def test_a_closure_that_forgets_the_loss_when_probed():
    model = net()
    optimizer = SAdam(model.parameters())
    closure = closure_of(model, optimizer)
    with pytest.raises(ValueError, match=r"closure\(False\) returned None; .* also when backward"):
        optimizer.step(lambda backward: closure(True) if backward else None)


def test_a_closure_that_writes_into_the_gradients_when_probed():
    model = net()
    optimizer = SAdam(model.parameters())
    closure = closure_of(model, optimizer)

    def zeroing(backward: bool):
        loss = closure(backward)
        if not backward:
            optimizer.zero_grad(set_to_none=False)
        return loss

    with pytest.raises(RuntimeError, match=r"closure\(False\) wrote into the gradients; call"):
        optimizer.step(zeroing)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k_directions", 3),
        ("sigma", 0.5),
        ("lgi_lambda", 1.0),
        ("stabilize_eps", 1e-3),
        ("lgi_cap", 1.0),
        ("sphere", "global"),
    ],
)
def test_groups_must_share_what_is_measured_once(name: str, value: object):
    model = net()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), name: value}]
    with pytest.raises(ValueError, match=f"^{name} is .* in one parameter group and .* one value"):
        SAdam(groups)
    optimizer = SAdam(model[0].parameters())
    with pytest.raises(ValueError, match=f"^{name} is"):
        optimizer.add_param_group(groups[1] | {"params": list(model[2].parameters())})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": model[2].parameters()})
    optimizer.param_groups[1][name] = value
    with pytest.raises(ValueError, match=f"^{name} is"):
        optimizer.step(closure_of(model, optimizer))


def test_directions_that_do_not_fit():
    model = net()
    optimizer = SAdam(model.parameters())
    good = [torch.randn_like(p) for p in model.parameters()]
    with pytest.raises(ValueError, match="directions holds 1 lists and k_directions is 2; give"):
        optimizer.step(closure_of(model, optimizer), directions=[good])
    with pytest.raises(ValueError, match=r"^directions\[1\] has shapes .* give one draw a param"):
        optimizer.step(closure_of(model, optimizer), directions=[good, good[:3]])


def test_a_module_of_other_parameters():
    with pytest.raises(ValueError, match="module does not hold 4 of the 4 parameters"):
        SAdam(net().parameters(), module=net())


def test_a_complex_parameter():
    with pytest.raises(ValueError, match="a parameter is complex; SAdam takes real"):
        SAdam([torch.zeros(2, dtype=torch.complex64, requires_grad=True)])


def test_a_sparse_gradient():
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = SAdam(table.parameters())

    def closure(backward: bool):
        loss = table(torch.tensor([1])).sum()
        if backward:
            loss.backward()
        return loss

    with pytest.raises(ValueError, match="a gradient is sparse; SAdam takes dense"):
        optimizer.step(closure)


@pytest.mark.parametrize(
    ("inputs", "targets", "size", "seeds", "text"),
    [
        (3, 2, 1, [0], "there are 3 inputs and 2 targets; give one target an input"),
        (0, 0, 1, [0], "there are 0 inputs and 0 targets"),
        (3, 3, 0, [0], "the batch size is 0; give a whole number of at least 1."),
        (3, 3, 1, [], "no seed was given; give at least one whole number"),
        (3, 3, 1, [-1], "a seed is -1; give whole numbers of at least 0."),
        (3, 3, 1, [2, 2], r"the seeds are \[2, 2\]; give each seed once."),
    ],
)
def test_batches_that_cannot_be_drawn(inputs, targets, size, seeds, text: str):
    with pytest.raises(ValueError, match=text):
        Batches(torch.zeros(inputs, 2), torch.zeros(targets), size, seeds)


def test_a_step_before_the_first():
    batches = Batches(torch.zeros(3, 2), torch.zeros(3), 1, [0])
    with pytest.raises(ValueError, match=r"the step is -1; steps count from 0\."):
        batches.at(-1)
