"""How good a network is while it is trained."""

import numpy as np
import torch

from mtl_edge.data.splits import Samples
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.train.learner import Learner


def measure(net: MultiTaskNet, learner: Learner, samples: Samples, batch_size: int) -> dict[str, dict[str, float]]:
    """Each task's metrics of the torch network, in float32; only to watch training, never to report."""
    found = answers(net, learner, samples, batch_size)
    return {task.name: task.measure(found[task.name], samples[task.target]) for task in learner.tasks}


def answers(net: MultiTaskNet, learner: Learner, samples: Samples, batch_size: int) -> dict[str, np.ndarray]:
    """Each task's decoded answers of the torch network to all samples."""
    net.eval()
    device = next(net.parameters()).device
    decoded: dict[str, list[np.ndarray]] = {task.name: [] for task in learner.tasks}
    with torch.inference_mode():
        for inputs in learner.batches(samples, batch_size):
            outputs = net(inputs.to(device))
            for task in learner.tasks:
                decoded[task.name].append(task.decode(outputs[task.name].cpu().numpy()))
    return {name: np.concatenate(parts) for name, parts in decoded.items()}
