"""Balancing methods of torchjd, made from what the recipe says; none is written here."""

from typing import Any, assert_never

import torch
from torch import Tensor
from torchjd import aggregation, scalarization
from torchjd.aggregation import Aggregator, GramianWeightedAggregator, Weighting
from torchjd.scalarization import Scalarizer

from mtl_edge.errors import MissingExtraError, RecipeError
from mtl_edge.recipe import balance as methods
from mtl_edge.recipe.balance import Aggregation, DoubleSampling, Numbers, Scalarization, read_balance

Made = Scalarizer | Aggregator | Weighting[Any]


def make_method(spec: Scalarization | Aggregation | DoubleSampling, tasks: int) -> Made:
    """The method for so many tasks, tried once so that what it cannot do shows before the training.

    Raises:
        RecipeError: options that do not fit the number of tasks.
        MissingExtraError: the method needs packages that are not installed.
    """
    name = spec.__struct_config__.tag
    try:
        trial = _make(spec, tasks)
        match trial:
            case Scalarizer():
                trial(torch.ones(tasks))
            case Aggregator():
                trial(torch.eye(tasks, 8))
            case Weighting():
                trial(torch.eye(tasks))
        return _make(spec, tasks)
    except ImportError as error:
        reason = str(error).partition(". ")[0]
        raise MissingExtraError(f"train.balance: {name!r}: {reason}: pip install 'mtl-edge[balancing]'") from error
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise RecipeError(f"train.balance: {name!r} cannot balance {tasks} tasks so: {reason}") from error


def _make(spec: Scalarization | Aggregation | DoubleSampling, tasks: int) -> Made:
    match spec:
        case methods.MoDo():
            return aggregation.MoDoWeighting(spec.gamma, spec.rho)
        case methods.SdmGrad():
            preference = _vector(spec.preference)
            return aggregation.SDMGradWeighting(spec.lr, spec.momentum, spec.n_iter, spec.pull, preference)
        case _:
            return _scalarizer(spec, tasks) if isinstance(spec, Scalarization) else _aggregator(spec, tasks)


def _scalarizer(spec: Scalarization, tasks: int) -> Scalarizer:
    match spec:
        case methods.Uw():
            return scalarization.UW(tasks)
        case methods.ImtlL():
            return scalarization.IMTLL(tasks)
        case methods.Dwa():
            return scalarization.DWA(spec.temperature)
        case methods.Famo():
            return scalarization.FAMO(tasks, lr=spec.lr, weight_decay=spec.weight_decay)
        case methods.Rlw():
            return scalarization.Random()
        case methods.Gls():
            return scalarization.GeometricMean()
        case methods.Stch():
            return scalarization.STCH(spec.mu, _vector(spec.weights), _vector(spec.reference))
        case methods.Cosmos():
            return scalarization.COSMOS(spec.penalty, _weights(spec.weights, tasks))
        case methods.Pbi():
            return scalarization.PBI(spec.theta, _weights(spec.weights, tasks), _vector(spec.reference))
        case _:
            assert_never(spec)


def _aggregator(spec: Aggregation, tasks: int) -> Aggregator:
    match spec:
        case methods.UpGrad():
            return aggregation.UPGrad(_vector(spec.preference))
        case methods.DualProj():
            return aggregation.DualProj(_vector(spec.preference))
        case methods.PcGrad():
            return aggregation.PCGrad()
        case methods.Mgda():
            return aggregation.MGDA(spec.epsilon, spec.max_iters)
        case methods.CaGrad():
            return aggregation.CAGrad(spec.c, spec.norm_eps)
        case methods.NashMtl():
            return aggregation.NashMTL(tasks, spec.max_norm, spec.update_weights_every, spec.optim_niter)
        case methods.AlignedMtl():
            return aggregation.AlignedMTL(_vector(spec.preference), spec.scale_mode)
        case methods.ImtlG():
            return aggregation.IMTLG()
        case methods.GradVac():
            return aggregation.GradVac(spec.beta, spec.eps)
        case methods.GradDrop():
            return aggregation.GradDrop(leak=_vector(spec.leak))
        case methods.Config():
            return aggregation.ConFIG(_vector(spec.preference))
        case methods.FairGrad():
            return aggregation.FairGrad(spec.alpha, spec.max_iters)
        case methods.ExcessMtl():
            return aggregation.ExcessMTL(spec.robust_step_size, spec.n_warmup_steps)
        case methods.Pcd():
            return aggregation.PCD(spec.tau, spec.beta)
        case methods.TrimmedMean():
            return aggregation.TrimmedMean(spec.trim)
        case methods.Krum():
            return aggregation.Krum(spec.n_byzantine, spec.n_selected)
        case methods.CrMogm():
            inner = _make(read_balance(spec.of), tasks)  # type: ignore[arg-type]  # its names are aggregations
            assert isinstance(inner, GramianWeightedAggregator)
            return GramianWeightedAggregator(aggregation.CRMOGMWeighting(inner.gramian_weighting, spec.alpha))
        case _:
            assert_never(spec)


def _vector(values: Numbers | None) -> Tensor | None:
    return None if values is None else torch.tensor(values)


def _weights(values: Numbers | None, tasks: int) -> Tensor:
    return torch.full((tasks,), 1 / tasks) if values is None else torch.tensor(values)
