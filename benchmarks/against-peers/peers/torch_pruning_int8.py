"""torch-pruning, fine-tuning in torch, and ONNX Runtime's int8: what one puts together today without mtl-edge.

The network, its losses and its samples are mtl-edge's, which therefore is in this environment too; pruning, training
and int8 are not. Training is plain: labels, Adam, a cosine, for as much processor time as mtl-edge's own longest recipe
took in all. Weights get 8 bits or, as ONNX Runtime's documentation advises for processors whose int8 products saturate,
7: whichever answers validation samples better.
"""

import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from job import Job, Options, run
from ort_int8 import prepare, quantize_file

if TYPE_CHECKING:
    from networks import Network

    from mtl_edge.nets.multitask import MultiTaskNet

SETTINGS: dict[str, Options] = {
    "default": {"ratio": 0.5},
    "30 %": {"ratio": 0.3},
    "70 %": {"ratio": 0.7},
    "50 % global": {"ratio": 0.5, "everywhere": True},
    "70 % global": {"ratio": 0.7, "everywhere": True},
}
"""``default`` takes half of the channels of every layer; ``global`` takes them wherever they matter least."""
_BATCH = 128
_IMPORTANCE_BATCHES = 10
_LEARNING_RATE = 3e-3
_SMALLEST = 1e-3
"""Of the learning rate, at the end."""


def quantize(job: Job, options: Options) -> None:
    """Prune, train, export, quantize."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from networks import Network

    from mtl_edge.export.to_onnx import export_onnx

    torch.manual_seed(0)
    network = Network(job.model.parent)
    net = network.net()
    started = time.process_time()
    prune(net, network, options)
    train(net, network, until=started + job.cpu_seconds)
    example = network.learner.inputs(network.samples("calib"), slice(2))
    with tempfile.TemporaryDirectory() as scratch:
        source, prepared = Path(scratch) / "pruned.onnx", Path(scratch) / "prepared.onnx"
        source.write_bytes(export_onnx(net, example, network.learner.input))
        prepare(source, prepared)
        made = [Path(scratch) / "8-bits.onnx", Path(scratch) / "7-bits.onnx"]
        for target, reduced in zip(made, (False, True), strict=True):
            chosen = {"form": "QDQ", "types": "U8S8", "per_channel": True, "reduce_range": reduced}
            quantize_file(prepared, target, job, chosen)
        losses = {target: validation_loss(target, network) for target in made}
        print({target.stem: loss for target, loss in losses.items()})
        shutil.copy(min(made, key=losses.__getitem__), job.target)


def validation_loss(model: Path, network: "Network") -> float:
    """The tasks' losses of a model under ONNX Runtime, added up."""
    import torch

    from mtl_edge.runtime import open_session

    session, learner, samples = open_session(model), network.learner, network.samples("val")
    names = [output.name for output in session.get_outputs()]
    answers = [session.run(names, {learner.input: batch.numpy()}) for batch in learner.batches(samples, _BATCH)]
    outputs = {name: torch.cat([torch.from_numpy(part[i]) for part in answers]) for i, name in enumerate(names)}
    return float(sum(learner.losses(outputs, learner.labels(samples)).values()))


def prune(net: "MultiTaskNet", network: "Network", options: Options) -> None:
    """Take channels away by the change of the summed loss, as far as its graph of dependencies goes.

    What gives answers, and what weighs experts, is left alone: it would not know that these are no channels.
    """
    import torch
    import torch_pruning

    from mtl_edge.nets.sharing.mixing import Gates

    learner, samples = network.learner, network.samples("train")
    gates = [layer for module in net.modules() if isinstance(module, Gates) for layer in module.layers]
    pruner = torch_pruning.pruner.MetaPruner(
        net,
        learner.inputs(samples, slice(2)),
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=options["ratio"],
        global_pruning=options.get("everywhere", False),
        round_to=8,
        ignored_layers=[*(head.output for head in net.heads), *gates],
    )
    for start in range(0, _IMPORTANCE_BATCHES * _BATCH, _BATCH):
        part = slice(start, start + _BATCH)
        losses = learner.losses(net(learner.inputs(samples, part)), learner.labels(samples, part))
        torch.autograd.backward(list(losses.values()))
    pruner.step()


def train(net: "MultiTaskNet", network: "Network", *, until: float) -> None:
    """Train with labels until the processor time is spent."""
    import numpy as np
    import torch

    learner, samples = network.learner, network.samples("train")
    optimizer = torch.optim.Adam(net.parameters(), lr=_LEARNING_RATE)
    started = time.process_time()
    rng = np.random.default_rng(0)
    net.train()
    while time.process_time() < until:
        order = rng.permutation(len(samples))
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            spent = min((time.process_time() - started) / (until - started), 1.0)
            if spent == 1.0:
                break
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * max(_SMALLEST, (1 + math.cos(math.pi * spent)) / 2)
            part = np.sort(order[start : start + _BATCH])
            losses = learner.losses(net(learner.inputs(samples, part)), learner.labels(samples, part))
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(list(losses.values()))
            optimizer.step()
    net.eval()


if __name__ == "__main__":
    run(SETTINGS, quantize)
