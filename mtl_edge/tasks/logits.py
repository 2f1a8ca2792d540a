"""Losses of logits, and their distances to a teacher's: of classes by softmax, of yes and no by sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_edge.tasks.base import NO_CLASS

if TYPE_CHECKING:
    import torch


def softmax_losses(
    outputs: torch.Tensor, labels: torch.Tensor, weights: tuple[float, ...], smoothing: float
) -> torch.Tensor:
    """Weighed cross-entropies ``(M,)`` of the M labels that were given.

    Args:
        outputs: logits ``(N, classes, …)``.
        labels: classes ``(N, …)``.
        weights: one per class, or none.
        smoothing: the share of a label's certainty that is spread over all classes (Szegedy et al. 2015,
            arXiv:1512.00567).
    """
    from torch.nn import functional

    known = labels != NO_CLASS
    losses = functional.cross_entropy(
        outputs, labels, ignore_index=NO_CLASS, label_smoothing=smoothing, reduction="none"
    )
    return weighed(losses[known], labels[known], weights)


def sigmoid_losses(
    outputs: torch.Tensor, labels: torch.Tensor, weights: tuple[float, ...], smoothing: float
) -> torch.Tensor:
    """Weighed binary cross-entropies ``(M,)`` of the M labels that were given.

    Args:
        outputs: one logit for each label ``(N, L)``.
        labels: 0 or 1 ``(N, L)``.
        weights: those of 0 and 1 for each label in turn, or none.
        smoothing: the share of a label's certainty that is spread over no and yes.
    """
    from torch.nn import functional

    known = labels != NO_CLASS
    answers = labels[known]
    goals = answers.to(outputs.dtype) * (1 - smoothing) + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(outputs[known], goals, reduction="none")
    column = known.nonzero()[:, 1]
    return weighed(losses, 2 * column + answers, weights)


def weighed(losses: torch.Tensor, classes: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    """Each loss times the weight of its class; unchanged where there are no weights."""
    return losses * losses.new_tensor(weights)[classes] if weights else losses


def softmax_distances(outputs: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Kullback-Leibler divergences of the softened classes, times T² (Hinton et al. 2015, arXiv:1503.02531).

    Args:
        outputs: logits ``(N, classes, …)``.
        teacher: likewise.
        temperature: T, which the logits are divided by.

    Returns:
        One divergence for each sample, or for each pixel, flat.
    """
    from torch.nn import functional

    student_log = functional.log_softmax(outputs / temperature, dim=1)
    teacher_log = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(dim=1)
    return divergence.flatten() * temperature**2


def sigmoid_distances(outputs: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """The same divergences of softened yes and no, averaged over the L labels of a sample: ``(N, L)`` -> ``(N,)``."""
    no_and_yes = outputs.new_tensor([[[0.0], [1.0]]])  # the softmax of (0, logit) is the sigmoid
    student, taught = outputs.unsqueeze(1) * no_and_yes, teacher.unsqueeze(1) * no_and_yes
    return softmax_distances(student, taught, temperature).reshape(outputs.shape).mean(dim=1)
