"""Answers of teachers, asked once for all epochs: where samples do not change, what is said of them does not either."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mtl_edge.data.splits import Samples
from mtl_edge.progress import progress_bar
from mtl_edge.train.learner import Learner

MOST_BYTES = 2**28
"""Of the answers of all samples: those of tasks with an answer per pixel would fill the memory."""


def remembered(
    ask: Callable[[Tensor], Mapping[str, Tensor]],
    learner: Learner,
    samples: Samples,
    batch_size: int,
    *,
    title: str,
) -> dict[str, Tensor] | None:
    """What is said of every sample.

    Args:
        ask: inputs of a batch -> task -> answers ``(N, …)``.
        learner: turns samples into inputs.
        samples: all of them, in whose order the answers are.
        batch_size: how many are asked about at a time.
        title: what the progress bar says.

    Returns:
        Task -> answers ``(samples, …)`` in the memory of the CPU; None where they would take more than ``MOST_BYTES``.
    """
    found: dict[str, Tensor] = {}
    with progress_bar(title, total=-(-len(samples) // batch_size)) as bar:
        start = 0
        for inputs in learner.batches(samples, batch_size):
            answers = ask(inputs)
            if not found:
                if sum(out[0].nbytes for out in answers.values()) * len(samples) > MOST_BYTES:
                    return None
                found = {
                    name: torch.empty((len(samples), *out.shape[1:]), dtype=out.dtype) for name, out in answers.items()
                }
            end = start + len(inputs)
            for name, out in answers.items():
                found[name][start:end] = out
            start = end
            bar.advance()
    return found
