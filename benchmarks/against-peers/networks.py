"""The three networks: trained once, with everything beside them that any tool needs.

A network's folder has ``model.onnx`` and its ``manifest.json`` (dense fp32), ``calib.npz`` (inputs to calibrate with,
as the graph reads them), ``model.pt2`` (the same network as a program of torch), ``recipe.toml``, and in ``stages/``
the data and the weights, as ``mtl-edge run`` leaves them.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.checkpoint import read_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.stages import Stages
from mtl_edge.storage import StageCache, write_atomically
from mtl_edge.train.learner import Learner
from mtl_edge.training_stages import WEIGHTS_FILE, Facts
from mtl_edge.variants import dense_variant
from mtl_edge.zoo.find import reference_recipes

NAMES = ("fashion-pairs", "fashion-pairs-mobilenet", "adult-mmoe")
_QUICK = [2000, 500, 2000]
"""Samples to train, validate and test with."""


@dataclass(frozen=True)
class Network:
    """A finished folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The reference recipe's."""
        return self.folder.name

    @property
    def model(self) -> Path:
        """The dense fp32 network."""
        return self.folder / MODEL_FILE

    @property
    def recipe(self) -> Recipe:
        """What it was made by."""
        return load_recipe(self.folder / "recipe.toml")

    def data(self, split: str) -> Path:
        """The folder of a split's arrays, unprocessed."""
        return self._stage("data") / split

    def samples(self, split: str) -> Samples:
        """A split's arrays."""
        return load_samples(self.data(split))

    @property
    def learner(self) -> Learner:
        """Its tasks, and how samples become inputs."""
        facts = msgspec.json.decode((self._stage("data") / "facts.json").read_bytes(), type=Facts)
        recipe = self.recipe
        return Learner(recipe.tasks, facts.statistics, facts.preprocessing, recipe.data.input)

    def net(self) -> MultiTaskNet:
        """The trained network as a module of torch."""
        manifest = manifest_of(self.model, open_session(self.model))
        assert manifest is not None
        recipe = self.recipe
        net = build_net(recipe.net, recipe.tasks, manifest.inputs[0], self.learner.statistics, folder=recipe.folder)
        load_weights(net, read_weights(self._stage("train") / WEIGHTS_FILE))
        return net.eval()

    def _stage(self, name: str) -> Path:
        """The latest stage of a kind."""
        return max((self.folder / "stages").glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)


def make(name: str, folder: Path, *, quick: bool = False) -> Network:
    """Train a network, or go on with it; what is finished is found again.

    Args:
        name: of a reference recipe.
        folder: where it is made.
        quick: train for one epoch only, on few samples where the recipe lets choose.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"(?m)^single_task = .*$", "", reference_recipes()[name].read_text(encoding="utf-8"))
    if quick:
        text = re.sub(r"(?m)^samples = .*$", f"samples = {_QUICK}", text)
        text = re.sub(r"(?m)^epochs = .*$", "epochs = 1", text)
    write_atomically(folder / "recipe.toml", text.encode())
    recipe = load_recipe(folder / "recipe.toml")
    stages = Stages(recipe, StageCache(folder / "stages"))
    data_stage = stages.data()
    exported = stages.export(data_stage, [dense_variant(stages, data_stage)])
    for part in (MODEL_FILE, MANIFEST_FILE):
        shutil.copy(exported.folder / "dense" / part, folder / part)
    network = Network(folder)
    _write_inputs(network)
    _write_program(network)
    return network


def _write_inputs(network: Network) -> None:
    """The samples as the graph reads them, without gaps, which other tools cannot do with."""
    learner = network.learner
    inputs = np.nan_to_num(learner.inputs(network.samples("calib")).contiguous().numpy())
    part = network.folder / "part.npz"
    np.savez(part, **{learner.input: inputs})
    part.replace(network.folder / "calib.npz")


def _write_program(network: Network) -> None:
    target = network.folder / "model.pt2"
    if target.exists() and target.stat().st_mtime > network.model.stat().st_mtime:
        return
    example = network.learner.inputs(network.samples("calib"), slice(2)).contiguous()
    net = network.net().for_export()
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    torch.export.save(program, target)
