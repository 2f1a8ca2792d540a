"""One training loop for every network: the dense one from labels, the pruned one from labels and a teacher."""

from contextlib import ExitStack
from pathlib import Path

import torch

from mtl_edge.data.splits import Splits
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.train.checkpoint import Checkpoint
from mtl_edge.train.distributed import ALONE, Ranks
from mtl_edge.train.learner import Learner
from mtl_edge.train.log import training_log
from mtl_edge.train.norm import synced_norms
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import Epoch, FitOptions, Training


def fit(
    net: MultiTaskNet,
    learner: Learner,
    splits: Splits,
    options: FitOptions,
    *,
    title: str,
    teacher: Teacher | None = None,
    checkpoint: Path | None = None,
    log_dir: Path | None = None,
    ranks: Ranks = ALONE,
) -> list[Epoch]:
    """Train a network in place.

    Args:
        net: its parameters are changed; left in evaluation mode on the CPU.
        learner: tasks, statistics and preprocessing.
        splits: ``train`` to learn from, ``val`` to watch.
        options: how to fit.
        title: what the progress bar says.
        teacher: distil from these networks.
        checkpoint: a folder to write to from time to time, and to go on from: the weights in the end are, bit by bit,
            those of a training that nothing interrupted.
        log_dir: where TensorBoard's files go.
        ranks: the processes that train together.

    Returns:
        One record per epoch.

    Raises:
        DataError: a loss became NaN or infinite, there are no two samples to learn from, or the samples are not such
            as the options need.
        RecipeError: options that do not fit the tasks or the machine, or a teacher that does not have the tasks.
        MissingExtraError: an option needs a package that is not installed.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        training = Training(net, learner, splits, options, title, teacher, ranks)
        stack.callback(training.bring_home)
        stack.enter_context(synced_norms(net, ranks))
        kept = Checkpoint(checkpoint, options.checkpoint_seconds)
        if (state := kept.read()) is not None:
            training.restore(state)
        ranks.wait()  # all have read it before the first writes
        training.ask_teachers()
        writes = kept if ranks.leads else Checkpoint(None, 0)
        log = training_log(
            title,
            learner.tasks,
            options.epochs,
            steps=training.total,
            done=training.step,
            folder=log_dir if ranks.leads else None,
        )
        training.run(stack.enter_context(log), writes)
        training.keep()
    return training.history
