"""Task kinds, one file each: what a task is, its loss, its metrics, and how its output is decoded.

To add a kind, write its file with the members of :class:`~mtl_edge.tasks.base.TaskKind` and add it to :data:`Task`;
recipes, training, distillation, manifests, measurement and reports follow from there.
"""

from mtl_edge.tasks.base import Decoding, Metric, TargetStatistics, TaskKind, given
from mtl_edge.tasks.binary import Binary
from mtl_edge.tasks.budget import Budget, budget_weights, budgets_of, read_budget, read_task_budget, without_budgets
from mtl_edge.tasks.dense_regression import DenseRegression
from mtl_edge.tasks.multiclass import Multiclass
from mtl_edge.tasks.multilabel import Multilabel
from mtl_edge.tasks.noise import Noise, loss_noise
from mtl_edge.tasks.ordinal import Ordinal
from mtl_edge.tasks.regression import Regression
from mtl_edge.tasks.segmentation import Segmentation

Task = Binary | DenseRegression | Multiclass | Multilabel | Ordinal | Regression | Segmentation

__all__ = [
    "Binary",
    "Budget",
    "Decoding",
    "DenseRegression",
    "Metric",
    "Multiclass",
    "Multilabel",
    "Noise",
    "Ordinal",
    "Regression",
    "Segmentation",
    "TargetStatistics",
    "Task",
    "TaskKind",
    "budget_weights",
    "budgets_of",
    "given",
    "loss_noise",
    "read_budget",
    "read_task_budget",
    "without_budgets",
]
