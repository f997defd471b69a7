"""Options of an objective by name, and the published presets number by number."""

from __future__ import annotations

import pytest

from training.presets import DEFAULT_FOR_IMAGES, DEFAULT_FOR_PLANE, DEFAULT_FOR_POINTS, WEIGHTS_PRESETS
from training.weights.config import AdversarialConfig, EnergyConfig, EnergyRatioConfig, RatioConfig, TransportConfig
from training.weights.options import with_options


def test_options_change_what_they_name_and_nothing_else() -> None:
    changed = with_options(TransportConfig(), [("solver", "sinkhorn"), ("power", "2"), ("null_subtraction", "false")])
    assert changed == TransportConfig(solver="sinkhorn", power=2, null_subtraction=False)
    assert with_options(EnergyConfig(), [("scales", "0.1,0.5"), ("kernel", "laplace")]) == EnergyConfig(
        kernel="laplace", scales=(0.1, 0.5)
    )
    assert with_options(RatioConfig(), [("hidden", "32")]) == RatioConfig(hidden=(32,))
    assert with_options(AdversarialConfig(), []) == AdversarialConfig()
    assert with_options(EnergyRatioConfig(), [("pull", "0.5")]) == EnergyRatioConfig(pull=0.5)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (("solver", "simplex"), "option solver: Input should be 'exact' or 'sinkhorn'"),
        (("power", "0"), "option power: Input should be greater than 0, not '0'"),
        (("power", "nan"), "option power: Input should be a finite number"),
        (("batches", "none"), "option batches: Input should be a valid integer"),
        (("regularisation", "-1"), "option regularisation: Input should be greater than 0"),
        (("kernel", "ladder"), "transport has no option 'kernel'; it has: batches, held_out_batches"),
        (("name", "energy"), "transport has no option 'name'"),
    ],
)
def test_an_option_that_cannot_be_is_named(pair: tuple[str, str], says: str) -> None:
    with pytest.raises(ValueError) as refused:
        with_options(TransportConfig(), [pair])
    assert says in str(refused.value)


def test_options_of_a_part_are_named_after_it() -> None:
    changed = with_options(EnergyRatioConfig(), [("energy.batch", "64"), ("ratio.hidden", "8,8")])
    assert changed == EnergyRatioConfig(
        energy=EnergyConfig(kernel="ladder", batch=64), ratio=RatioConfig(hidden=(8, 8))
    )
    with pytest.raises(ValueError, match=r"energy-ratio has no option 'ratio'; it has: pull, energy\.kernel,"):
        with_options(EnergyRatioConfig(), [("ratio", "2")])
    with pytest.raises(ValueError, match=r"option ratio\.steps: Input should be greater than or equal to 1, not '0'"):
        with_options(EnergyRatioConfig(), [("ratio.steps", "0")])


PUBLISHED = {
    # hidden, negative slope, cap, lambda 1, lambda 2, lr of critic, of w, betas, steps w : critic, warm-up, loss
    "paper-mnist": ((400,) * 4, 0.0, 3.0, 10.0, 3.0, 4e-4, 1e-4, (0.5, 0.5), (1, 1), 0, "hinge"),
    "paper-celeba128": ((512,) * 4, 0.2, 3.0, 20.0, 5.0, 1e-4, 1e-5, (0.0, 0.999), (3, 1), 500, "wasserstein"),
    "paper-church256": ((512,) * 3, 0.2, 2.0, 30.0, 5.0, 1e-4, 1e-5, (0.0, 0.999), (3, 1), 500, "wasserstein"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_paper_preset_has_the_published_numbers(name: str) -> None:
    config = WEIGHTS_PRESETS[name]
    game = config.objective
    assert isinstance(game, AdversarialConfig)
    assert PUBLISHED[name] == (
        config.hidden, config.negative_slope, config.cap, game.mean_penalty, game.clip_penalty, game.lr_critic,
        config.lr, config.betas, (game.n_weight, game.n_critic), game.warm_up, game.loss,
    )  # fmt: skip
    assert game.betas == config.betas and game.penalty == 10.0 and game.reward == "minimum"
    assert config.head == "relu" and not config.normalise and config.weight_decay == 0.0


def test_paper_is_the_first_name_of_paper_mnist_and_the_default_is_a_preset() -> None:
    assert WEIGHTS_PRESETS["paper"] is WEIGHTS_PRESETS["paper-mnist"]
    assert {DEFAULT_FOR_PLANE, DEFAULT_FOR_POINTS, DEFAULT_FOR_IMAGES} <= set(WEIGHTS_PRESETS)
