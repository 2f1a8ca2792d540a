"""``[train]`` says how to fit, and errors say what it should have said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_edge.errors import RecipeError
from mtl_edge.recipe import TrainSpec, load_recipe
from mtl_edge.recipe.balance import Equal, Stch

WriteRecipe = Callable[[str], Path]


def test_all_options_are_read(write_recipe: WriteRecipe, tiny_recipe_text: str) -> None:
    """Each key once, tables inline or not."""
    text = """
[train]
device = "cpu"
optimizer = "sgd"
nesterov = true
schedule = "cosine"
warmup_epochs = 1.5
clip_norm = 1.0
ema = 0.999
patience = 3
balance = { name = "stch", mu = 0.5 }
weights = { kind = 2.0 }
sampling = "balanced"
checkpoint_seconds = 10
tensorboard = true
[train.augment]
shift = 2
flip = true
cutout = 8
"""
    spec = load_recipe(write_recipe(tiny_recipe_text + text)).train
    assert spec.balancing == Stch(mu=0.5)
    assert spec.augment.cutout == 8
    assert spec.warmup_share == 1.5 / 12
    assert spec.keeps_best


def test_defaults_are_the_plain_ones() -> None:
    """An equal sum, the last epoch, one-cycle with its rise of 30 %."""
    spec = TrainSpec()
    assert spec.balancing == Equal()
    assert not spec.keeps_best
    assert spec.warmup_share == 0.3
    assert TrainSpec(schedule="constant").warmup_share == 0.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('balance = "upgrd"', "train.balance: unknown method 'upgrd'; did you mean 'upgrad'? known are aligned-mtl,"),
        ("balance = { mu = 1.0 }", "train.balance: unknown method None; known are aligned-mtl"),
        ('balance = { name = "stch", nu = 1.0 }', "train.balance: unknown option 'nu' of 'stch'; known are mu, weig"),
        ('balance = { name = "pcgrad", c = 1.0 }', "train.balance: unknown option 'c' of 'pcgrad'; known are none"),
        ('balance = { name = "stch", mu = 0 }', "train.balance.mu: expected float > 0.0, found 0"),
        ("balance = 3", "train.balance: expected str | object, got int, found 3"),
        ("weights = { knid = 2.0 }", "train.weights: must name tasks (kind, size), found 'knid'"),
        ("ema = 1.0", "train.ema: expected float < 1.0, found 1.0"),
        ('schedule = "linear"', "train.schedule: must be one of 'one-cycle', 'cosine', 'constant', found 'linear'"),
        ("augment = { shfit = 2 }", "train.augment: unknown key 'shfit'; did you mean 'shift'?"),
        ("warmup = 0.1\nwarmup_epochs = 1", "train: only one of warmup and warmup_epochs can be given, found both"),
        ("nesterov = true\nmomentum = 0.0", "train.nesterov: needs a momentum above 0, found 0"),
    ],
)
def test_what_breaks_a_rule_is_named(write_recipe: WriteRecipe, tiny_recipe_text: str, line: str, message: str) -> None:
    """File, key, rule, and what was found."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(f"{tiny_recipe_text}\n[train]\n{line}\n"))
    assert message in str(caught.value)
    assert str(caught.value).partition(": ")[0].endswith("tiny.toml")
    assert "\n" not in str(caught.value)
