"""One step ahead: the curve against known answers, and stairs told from climbs."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demo_models import problem
from demo_models.scenarios import SCENARIOS
from probes import Objective, StepLine, jumps, step_lines
from probes.step_line import BISECTED, FINEST

double = torch.float64
cross_entropy = nn.functional.cross_entropy


def last(lines) -> StepLine:
    *_, line = lines
    return line


def along_x(f, dtype=double):
    """f as a loss of two parameters, at (0, 0), and the step that makes s the first of them."""
    objective = Objective.from_function(lambda x: f(x[:, 0]), torch.zeros(2, dtype=dtype))
    return objective, objective.theta, torch.tensor([1.0, 0.0], dtype=dtype)


def counted(objective):
    """Records the first coordinates at which an objective is evaluated."""
    seen: list[Tensor] = []
    original = objective.losses
    objective.losses = lambda points: (seen.append(points), original(points))[1]
    return seen


def test_a_parabola_by_hand(bowl):
    # f = |x|^2 / 2 at (1, 2) with update (-1, 1): 2.5 + s + s^2, whose slope at 0 is 1.
    line = last(step_lines(bowl, bowl.theta, torch.tensor([-1.0, 1.0], dtype=double)))
    np.testing.assert_allclose(line.losses, 2.5 + line.s + line.s**2, rtol=1e-14)
    assert (line.now, line.after, line.promised, line.got) == (2.5, 4.5, 1.0, 2.0)
    assert (line.s[0], line.s[-1], line.done, len(line.s)) == (-2.0, 3.0, 1.0, 241)
    assert line.s.dtype == line.losses.dtype == np.float64
    assert jumps(line) == 0


def test_the_promise_is_that_of_the_gradient_that_is_given(bowl):
    update = torch.tensor([-1.0, 1.0], dtype=double)
    line = last(step_lines(bowl, bowl.theta, update, gradient=torch.tensor([3.0, 1.0])))
    assert (line.promised, line.got) == (-2.0, 2.0)


@pytest.mark.parametrize("net", ["mlp", "rounded"])
def test_the_curve_equals_calling_the_module(net, request, batch, around):
    module = request.getfixturevalue(net)
    objective = Objective.from_module(module, cross_entropy, batch)
    update = around(objective, 1, 0.1)[0] - objective.theta
    line = last(step_lines(objective, objective.theta, update))
    own = copy.deepcopy(module)

    def true(s: float) -> float:
        nn.utils.vector_to_parameters(objective.theta + s * update, own.parameters())
        return cross_entropy(own(batch[0]), batch[1]).item()

    for i in np.linspace(0, len(line.s) - 1, 10).astype(int):
        assert line.losses[i] == pytest.approx(true(line.s[i]), rel=1e-11)
    assert line.now == pytest.approx(true(0.0), rel=1e-12)
    assert line.after == pytest.approx(true(1.0), rel=1e-12)
    gradient = objective.gradients(objective.theta[None])[0]
    assert line.promised == pytest.approx(float(gradient @ update), rel=1e-12)


def test_lines_grow_and_each_is_sorted_and_whole():
    objective, theta, update = along_x(lambda x: torch.floor(3.0 * x))
    seen = counted(objective)
    made = list(step_lines(objective, theta, update, block=50))
    kept = [(line.s.copy(), line.losses.copy()) for line in made]
    for line, (s, losses) in zip(made, kept, strict=True):
        assert (np.diff(line.s) > 0.0).all()
        assert np.array_equal(line.losses, np.floor(3.0 * line.s))
        assert {0.0, 1.0} <= set(line.s.tolist())
        assert (line.now, line.after, line.got) == (0.0, 3.0, 3.0)
        assert np.array_equal(line.s, s)
        assert np.array_equal(line.losses, losses)
    assert all(set(x.s) < set(y.s) for x, y in pairwise(made))
    assert all(x.done < y.done for x, y in pairwise(made))
    assert made[-1].done == 1.0
    assert max(len(points) for points in seen) == 50
    assert sum(len(points) for points in seen) == len(made[-1].s)
    assert {0.0, 1.0} <= set(made[0].s.tolist())  # of the first block, smaller than a level


def test_coarse_comes_first():
    objective, theta, update = along_x(torch.square)
    made = list(step_lines(objective, theta, update, block=61))
    np.testing.assert_allclose(made[0].s, np.linspace(-2.0, 3.0, 61), atol=1e-15)
    assert [len(line.s) for line in made] == [61, 122, 183, 241]


@pytest.mark.parametrize(
    ("reach", "points", "count"),
    [((-2.0, 3.0), 2, 7), ((0.0, 1.0), 9, 9), ((-0.3, 1.75), 100, 103), ((-1.0, 2.0), 240, 241)],
)
def test_both_ends_of_the_step_are_points_of_any_reach(reach, points, count):
    objective, theta, update = along_x(torch.square)
    line = last(step_lines(objective, theta, update, reach=reach, points=points, refine=0))
    assert len(line.s) == count
    assert (line.s[0], line.s[-1]) == reach
    assert {0.0, 1.0} <= set(line.s.tolist())


def test_closing_cancels_the_rest():
    objective, theta, update = along_x(torch.square)
    seen = counted(objective)
    lines = step_lines(objective, theta, update, block=20)
    assert len(seen) == 0
    next(lines)
    lines.close()
    assert [len(points) for points in seen] == [20]
    assert list(lines) == []


def test_a_stair_is_drawn_vertical_where_it_stands():
    objective, theta, update = along_x(lambda x: (x > 0.4321).to(x) - 0.1 * x)
    line = last(step_lines(objective, theta, update))
    stair = int(np.abs(np.diff(line.losses)).argmax())
    assert line.s[stair] <= 0.4321 < line.s[stair + 1]
    assert line.s[stair + 1] - line.s[stair] <= FINEST
    assert len(line.s) == 241 + 8  # a gap of 1/48, halved eight times
    assert jumps(line) == 1


# Each with its number of stairs of more than a tenth of the range on [-2, 3].
CURVES = {
    "line": (lambda x: 3.0 * x, 0),
    "kink": (torch.abs, 0),
    "many kinks": (lambda x: (x - x.round()).abs(), 0),
    "sine": (lambda x: torch.sin(5.0 * x), 0),
    # Between two even points almost the whole range: steep, and yet a climb.
    "steep": (lambda x: torch.tanh(300.0 * (x - 0.77)), 0),
    "steep kink": (lambda x: (300.0 * (x - 0.77)).clamp(0.0, 1.0), 0),
    "infinite slope": (lambda x: (x - 0.77).abs().sqrt(), 0),
    "one stair": (lambda x: torch.sign(x - 0.77), 1),
    "stair on a slope": (lambda x: x + (x > 0.501).to(x), 1),
    "stair at 0": (lambda x: (x > 0.0).to(x), 1),
    "stairs": (lambda x: torch.round(x + 0.2), 5),
    # 13 stairs of 1/13 of the range: below a tenth, so none counts.
    "low stairs": (lambda x: torch.floor(2.6 * x + 0.01), 0),
    "up and down": (lambda x: torch.floor(4.0 * x + 0.3) % 2.0, 20),
    "flat": (torch.zeros_like, 0),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("dtype", [double, torch.float32])
def test_jumps_are_stairs_and_nothing_else(name, dtype):
    f, stairs = CURVES[name]
    assert jumps(last(step_lines(*along_x(f, dtype)))) == stairs


def test_the_share_of_the_range_decides_what_counts():
    line = last(step_lines(*along_x(lambda x: torch.floor(2.6 * x + 0.01))))
    assert (jumps(line, 0.07), jumps(line, 0.08)) == (13, 0)


def test_an_unfinished_line_counts_no_jump_twice():
    lines = list(step_lines(*along_x(lambda x: torch.round(x + 0.2)), block=16))
    found = [jumps(line) for line in lines]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 5)


def test_the_budget_bounds_the_points_and_the_largest_stairs_come_first():
    def f(x):
        return torch.floor(20.0 * x + 0.3) % 2.0 + 9.0 * (x > 0.4321).to(x)

    objective, theta, update = along_x(f)
    for budget in (0, 3, 240):
        line = last(step_lines(objective, theta, update, refine=budget))
        assert len(line.s) <= 241 + budget
        assert line.done == 1.0
    assert jumps(last(step_lines(objective, theta, update, refine=8)), 0.5) == 1


def test_rounding_is_no_staircase():
    # In float32 a slope of 1e-8 on a loss of 1 comes out as stairs of 6e-8.
    objective, theta, update = along_x(lambda x: 1.0 + 1e-8 * x, torch.float32)
    line = last(step_lines(objective, theta, update))
    assert np.ptp(line.losses) == pytest.approx(2.0**-23 / 2.0, rel=1.1)
    assert line.rounding == pytest.approx(16 * 2.0**-23, rel=1e-6)
    assert (len(line.s), jumps(line)) == (241, 0)


def test_a_zero_update_gives_a_flat_line(objective):
    seen = counted(objective)
    zero = torch.zeros(75, dtype=double)
    step_lines(objective, objective.theta, zero).close()
    (line,) = step_lines(objective, objective.theta, zero)
    assert sum(len(points) for points in seen) == 1
    assert len(line.s) == 241
    assert np.ptp(line.losses) == 0.0
    assert line.now == line.after == pytest.approx(objective.loss(objective.theta).item())
    assert (line.promised, line.got, line.done, jumps(line)) == (0.0, 0.0, 1.0, 0)


def test_losses_that_are_not_finite_stay_as_they_are():
    objective, theta, update = along_x(lambda x: torch.where(x > 2.0, torch.inf, x.square()))
    line = last(step_lines(objective, theta, update))
    assert np.isinf(line.losses[line.s > 2.0]).all()
    assert np.isfinite(line.losses[line.s <= 2.0]).all()
    assert (line.now, line.after) == (0.0, 1.0)
    nowhere = last(step_lines(*along_x(lambda x: x * torch.nan)))
    assert np.isnan(nowhere.losses).all()
    assert jumps(nowhere) == 0


def trained(scenario: str, steps: int):
    """AdamW on a scenario's full batch: its objective, and theta and update of the next step."""
    made = problem.build(SCENARIOS[scenario])
    net = made.network(0)
    assert made.probe is not None
    objective = Objective.from_module(net, made.loss, made.probe)
    optimizer = torch.optim.AdamW(net.parameters(), lr=SCENARIOS[scenario].lr)
    for _ in range(steps + 1):
        before = nn.utils.parameters_to_vector(net.parameters()).detach().clone()
        optimizer.zero_grad()
        made.loss(net(made.probe[0]), made.probe[1]).backward()
        optimizer.step()
    update = nn.utils.parameters_to_vector(net.parameters()).detach() - before
    return net, made, objective, before, update


@pytest.mark.parametrize(
    ("scenario", "least", "most"),
    [("digits-2bit", 4, 99), ("digits-32bit", 0, 0), ("digits-gelu", 0, 0)],
)
def test_rounding_turns_a_network_into_a_staircase(scenario, least, most):
    net, made, objective, theta, update = trained(scenario, 60)
    line = last(step_lines(objective, theta, update))
    assert least <= jumps(line) <= most
    own = copy.deepcopy(net)
    for i in np.linspace(0, len(line.s) - 1, 10).astype(int):
        # s as float32 holds it, which is what the point is made with.
        point = torch.addcmul(theta, torch.tensor(line.s[i]).float(), update)
        nn.utils.vector_to_parameters(point, own.parameters())
        true = made.loss(own(made.probe[0]), made.probe[1]).item()
        assert line.losses[i] == pytest.approx(true, rel=1e-5)


def test_bad_values(bowl, objective):
    one, two = torch.ones(1), torch.ones(2, dtype=double)
    bad = torch.tensor([0.0, float("nan")])
    cases = [
        (lambda: step_lines(bowl, one, two), r"theta has shape \(1,\), expected \(2,\)\."),
        (lambda: step_lines(bowl, two, one), r"update has shape \(1,\), expected \(2,\)\."),
        (lambda: step_lines(bowl, two, two, gradient=one), r"gradient has shape \(1,\), expec"),
        (lambda: step_lines(bowl, bad, two), "theta holds nan or inf, expected finite numbers"),
        (lambda: step_lines(bowl, two, bad), "update holds nan or inf, expected finite numbers"),
        (lambda: step_lines(bowl, two, two, gradient=bad), "gradient holds nan or inf"),
        (lambda: step_lines(bowl, two, two, reach=(0.5, 3.0)), "expected finite .* holds 0 and 1"),
        (lambda: step_lines(bowl, two, two, reach=(-1.0, 0.9)), "expected finite .* holds 0 an"),
        (lambda: step_lines(bowl, two, two, reach=(-1.0, float("nan"))), "expected finite"),
        (lambda: step_lines(bowl, two, two, points=1), "points and refine are 1 and 240, expecte"),
        (lambda: step_lines(bowl, two, two, refine=-1), "are 240 and -1, expected at least 2"),
        (lambda: step_lines(bowl, two, two, block=0), "block is 0, expected at least 1 point"),
        (lambda: jumps(last(step_lines(bowl, two, two)), BISECTED / 2), r"fraction is 0\.025, ex"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match="theta is of type list, expected a floating"):
        step_lines(bowl, [1.0, 2.0], two)
