"""Which network a file is: by layout, by inference, by registration, and how a miss is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from app.report.network import Network, NetworkProblem
from app.report.networks import chosen_networks, networks_of
from app.report.registered import ModelError, load_factory, registered_network
from app.report.samples import best_fit
from app.report.stacks import LAYERS, StackProblem, read_layers
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from tests.app.report_cases import safe_checkpoint, tiny


def keys(tensors: dict[str, Tensor], **more: object) -> list[str]:
    return [network.key for network in networks_of(tensors, **more)]  # type: ignore[arg-type]


def cnn(padding: int = 1, pools: tuple[int, ...] = (1, 2), width: int = 32) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Unflatten(-1, (1, 8, 8))]
    for number, (before, after) in enumerate(((1, 4), (4, 8)), 1):
        layers += [nn.Conv2d(before, after, 3, padding=padding), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number in pools else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 10))


class Normed(nn.Module):
    """A registered network: batch normalisation, so buffers of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.GELU())
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@pytest.mark.parametrize(
    "key", ["digits-2bit", "cnn-2bit", "digits-qat", "digits-residual", "digits-transformer"]
)
def test_a_demo_network_is_known_by_its_layout_and_computes_the_same(key: str) -> None:
    module = build(SCENARIOS[key]).network(seed=5)
    network = next(n for n in networks_of(dict(module.state_dict())) if n.key == key)
    x = build(SCENARIOS[key]).train[0][:16]  # type: ignore[index]
    with torch.no_grad():
        assert torch.equal(network.module(x), module(x))
    assert network.surrogate == (SCENARIOS[key].network.weight_bits < 32)  # type: ignore[union-attr]


def test_several_roundings_share_a_layout_and_a_key_or_an_activation_chooses() -> None:
    tensors = dict(build(SCENARIOS["digits-2bit"]).network(0).state_dict())
    every = ["digits-2bit", "digits-4bit", "digits-32bit", "digits-gelu", "inferred"]
    assert keys(tensors) == every
    assert keys(tensors, activation="gelu") == ["digits-gelu", "inferred"]
    (gelu,) = chosen_networks(networks_of(tensors, activation="gelu"), "inferred")
    assert gelu.title == "plain MLP, 64-64-64-10, gelu"
    with pytest.raises(NetworkProblem) as refusal:
        chosen_networks(networks_of(tensors), "digits-8bit")
    assert str(refusal.value) == (
        f"The network 'digits-8bit' does not fit the file; expected one of {', '.join(every)}: "
        "choose one of these."
    )


def test_a_file_may_name_its_scenario_among_those_that_fit() -> None:
    tensors = dict(build(SCENARIOS["digits-2bit"]).network(0).state_dict())

    def first(**values: object) -> Network:
        return networks_of(tensors, values=values)[0]

    named = first(scenario="digits-noise")
    assert (named.key, named.certain) == ("digits-noise", True)
    assert named.assumptions[0].startswith("The file names the demo network “Digits")
    assert "of the labels wrong" in best_fit([named])[1].title
    rounded = first(scenario="digits-gelu", bits=4)
    assert rounded.key == "digits-gelu-4"
    assert rounded.title.endswith("4-bit, gelu")
    every = networks_of(tensors, values={"scenario": "digits-2bit-batch8"})
    assert best_fit(every)[0].key == "digits-2bit-batch8"
    assert "digits-2bit" not in [network.key for network in every]
    # What does not fit, or is no name at all, changes nothing.
    for other in ("cnn-2bit", "abs-l1", "inferred", 4, None):
        assert keys(tensors, values={"scenario": other, "bits": 7}) == keys(tensors)


def test_of_several_the_lowest_loss_is_taken_and_the_guess_is_told() -> None:
    module = build(SCENARIOS["digits-gelu"]).network(0)
    train = build(SCENARIOS["digits-gelu"]).train
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(train[0]), train[1]).backward()  # type: ignore[index]
        optimizer.step()
    network, _, why = best_fit(networks_of(dict(module.state_dict())))
    assert network.key == "digits-gelu"
    assert why.startswith("5 networks have this layout, and the file does not say which it is")


def test_a_stack_is_ordered_by_its_shapes_and_not_by_the_file() -> None:
    module = tiny(widths=(7, 6, 6, 6, 3))
    state = module.state_dict()
    names = {"0": "in", "2": "body.9", "4": "body.10", "6": "classes"}
    renamed = {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": t for n, t in state.items()}
    x = torch.linspace(-1, 1, 35).view(5, 7)
    for order in (sorted(renamed), sorted(renamed, reverse=True)):
        (network,) = networks_of({name: renamed[name] for name in order})
        assert torch.equal(network.module(x), module(x))
        assert network.names["2.weight"] == "body.9.weight"
        assert network.assumptions[0].endswith("'in', 'body.9', 'body.10', 'classes'.")
        assert network.shape == (7,)


@pytest.mark.parametrize(
    ("padding", "pools", "width"), [(1, (1, 2), 32), (1, (), 512), (0, (), 128), (0, (2,), 32)]
)
def test_pools_and_padding_follow_from_the_shapes(
    padding: int, pools: tuple[int, ...], width: int
) -> None:
    module = cnn(padding, pools, width)
    x = torch.linspace(0, 1, 3 * 64).view(3, 64)
    found = networks_of(safe_checkpoint(module.state_dict()).tensors)
    assert any(torch.allclose(n.module(x), module(x)) for n in found)
    first = found[0]
    assert "Images of 8 x 8; convolutions" in first.assumptions[2]
    if (padding, pools) == (1, (1, 2)):
        assert "MaxPool2d(2) after every convolution" in first.title


def test_placements_that_shapes_do_not_tell_apart_are_all_offered() -> None:
    found = networks_of(cnn(1, (2,), 128).state_dict(), features=64)
    assert len(found) == 3  # after the first, after the second, or no padding and no pool
    assert len({network.key for network in found}) == 3
    assert "The shapes allow 3 placements of pools and padding." in found[0].assumptions
    meant = chosen_networks(found, "inferred-same-2")
    assert meant[0].title.startswith("plain CNN with MaxPool2d(2) after convolution 2, 1-4-8-10")


def test_images_that_cannot_fit_are_said() -> None:
    with pytest.raises(NetworkProblem, match=r"no padding and pooling of 80 numbers a sample"):
        networks_of(cnn().state_dict(), features=80)
    tensors = dict(cnn().state_dict())
    name = next(n for n, t in tensors.items() if t.dim() == 2)
    tensors[name] = torch.zeros(10, 40)
    with pytest.raises(NetworkProblem, match=r"leaves the 40 numbers that its first Linear takes"):
        networks_of(tensors)


def test_a_near_miss_lists_at_most_ten_of_each_kind() -> None:
    tensors = dict(build(SCENARIOS["digits-residual"]).network(0).state_dict())
    for name in list(tensors)[:12]:
        tensors[f"other.{name}"] = tensors.pop(name)
    kept = next(
        name for name in tensors if not name.startswith("other") and name.endswith("weight")
    )
    tensors[kept] = torch.zeros(3, 3)
    with pytest.raises(NetworkProblem) as refusal:
        networks_of(tensors)
    text = str(refusal.value)
    assert "nearest is Digits, residual network, batch of 64 (missing: " in text
    missing = text.partition("missing: ")[2].partition(";")[0]
    assert missing.count("'") == 20
    assert missing.endswith(" and 2 more")
    assert text.partition("unexpected: ")[2].partition(";")[0].endswith(" and 2 more")
    assert f"misshaped: {kept!r} has shape (3, 3), expected " in text
    assert text.endswith("python -m app serve --model mypackage.mymodule:build.")


def test_names_out_of_the_file_are_escaped_and_cut() -> None:
    attack = "<script>alert(1)</script>\\n![x](http://e.example/a.png)" + "y" * 100
    with pytest.raises(NetworkProblem) as refusal:
        networks_of({attack: torch.zeros(3)})
    text = str(refusal.value)
    assert "\n" not in text
    assert "y" * 40 not in text


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a.weight": torch.zeros(3, 2), "b.weight": torch.zeros(4, 5)}, "do not follow"),
        ({"a.weight": torch.zeros(1, 2)}, "it has one output"),
        ({"a.weight": torch.zeros(2, 1, 3, 3)}, "its last layer 'a' is a convolution"),
        ({"a.running_mean": torch.zeros(2)}, "'a.running_mean' of shape (2,) is no weight or bias"),
        ({"a.weight": torch.zeros(2, 2), "b.bias": torch.zeros(2)}, "'b.bias' of shape (2,)"),
        ({f"{i}.weight": torch.zeros(2, 2) for i in range(LAYERS + 1)}, "it has 65 layers"),
        ({}, "it has no layer with weights"),
    ],
)
def test_what_is_no_plain_stack_says_why(tensors: dict[str, Tensor], reason: str) -> None:
    with pytest.raises(StackProblem) as problem:
        read_layers(tensors)
    assert reason in str(problem.value)


def test_a_search_that_would_not_end_is_given_up() -> None:
    tensors = {f"{i}.weight": torch.zeros(2, 2) for i in range(40)} | {
        "x.weight": torch.zeros(7, 9)
    }
    with pytest.raises(StackProblem, match="fit together in too many ways"):
        read_layers(tensors)


def test_a_registered_network_comes_first_in_evaluation_mode_with_its_buffers() -> None:
    module = Normed()
    module(torch.linspace(-2, 2, 60).view(10, 6))  # statistics of its own
    tensors = safe_checkpoint(dict(module.state_dict())).tensors
    assert "body.1.num_batches_tracked" in tensors
    (network,) = networks_of(tensors, factory=Normed)
    x = torch.linspace(-1, 1, 12).view(2, 6)
    assert torch.equal(network.module(x), module.eval()(x))
    assert "Batch normalisation uses the running statistics of the file." in network.assumptions
    del tensors["body.1.running_var"]
    with pytest.raises(NetworkProblem) as refusal:
        registered_network(tensors, Normed)
    assert str(refusal.value).startswith(
        "The file does not fit the registered network, a Normed: missing: 'body.1.running_var'; "
    )


def test_a_factory_is_found_by_name_and_a_wrong_one_is_a_sentence() -> None:
    assert load_factory("tests.app.test_report_networks:Normed")() is not None
    for name, found in (
        ("nothing", "--model is 'nothing'; expected MODULE:FUNCTION"),
        ("no.such.module:build", "--model names the module 'no.such.module', which was not"),
        ("tests.app.test_report_networks:nope", "--model names 'nope', which tests.app"),
    ):
        with pytest.raises(ModelError, match=found):
            load_factory(name)
    with pytest.raises(NetworkProblem, match=r"returned a dict; expected a torch\.nn\.Module"):
        networks_of({}, factory=dict)  # type: ignore[arg-type]
    with pytest.raises(NetworkProblem, match="not called without arguments"):
        networks_of({}, factory=nn.Linear)  # type: ignore[arg-type]


def test_a_second_file_of_another_network_is_refused() -> None:
    (network,) = networks_of(tiny().state_dict())
    twin = network.with_tensors(tiny(1).state_dict())
    assert torch.equal(twin.module[0].weight, tiny(1)[0].weight)  # type: ignore[index]
    assert torch.equal(network.module[0].weight, tiny(0)[0].weight)  # type: ignore[index]
    with pytest.raises(NetworkProblem, match="The second file is another network than the first"):
        network.with_tensors(tiny(widths=(2, 5, 3)).state_dict())
