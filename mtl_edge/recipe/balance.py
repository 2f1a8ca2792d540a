"""``[train] balance``: how the losses of several tasks become one step; each method's options, by its name.

``balance = "pcgrad"`` takes a method with its defaults, ``balance = { name = "stch", mu = 0.1 }`` sets its options.
The methods are those of torchjd, where each one's paper is named. Lists have one value per task, in their order.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from mtl_edge.errors import RecipeError
from mtl_edge.recipe.section import Count, NotNegative, Positive, Share

Numbers = tuple[NotNegative, ...]
NotNegativeCount = Annotated[int, Meta(ge=0)]
ShareBelowOne = Annotated[float, Meta(ge=0, lt=1)]


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name"):
    """One way to balance."""


class Equal(Method, frozen=True, tag="equal"):
    """The plain sum."""


# --- scalarizations: the losses are combined, one backward pass -----------------------------------------------------


class Uw(Method, frozen=True, tag="uw"):
    """Uncertainty weighting; its log-variances are trained along."""


class ImtlL(Method, frozen=True, tag="imtl-l"):
    """Impartial multi-task learning by losses; its scales are trained along."""


class Dwa(Method, frozen=True, tag="dwa"):
    """Dynamic weight average: a task whose loss falls more slowly weighs more."""

    temperature: Positive = 2.0


class Famo(Method, frozen=True, tag="famo"):
    """Fast adaptive multi-task optimization; one more forward pass per step."""

    lr: NotNegative = 0.025
    weight_decay: NotNegative = 1e-3


class Rlw(Method, frozen=True, tag="rlw"):
    """Random loss weighting."""


class Gls(Method, frozen=True, tag="gls"):
    """The geometric mean of the losses."""


class Stch(Method, frozen=True, tag="stch"):
    """Smooth Tchebycheff scalarization."""

    mu: Positive = 0.1
    weights: Numbers | None = None
    reference: Numbers | None = None


class Cosmos(Method, frozen=True, tag="cosmos"):
    """A linear sum with a penalty on the angle to the weights, which are equal unless given."""

    penalty: NotNegative = 1.0
    weights: Numbers | None = None


class Pbi(Method, frozen=True, tag="pbi"):
    """Penalty-based boundary intersection along the weights, which are equal unless given."""

    theta: NotNegative = 5.0
    weights: Numbers | None = None
    reference: Numbers | None = None


# --- aggregations: the tasks' gradients are combined, one backward pass for each task -------------------------------


class UpGrad(Method, frozen=True, tag="upgrad"):
    """The mean of all gradients, each projected so that no task conflicts."""

    preference: Numbers | None = None


class DualProj(Method, frozen=True, tag="dualproj"):
    """The mean gradient, projected so that no task conflicts."""

    preference: Numbers | None = None


class PcGrad(Method, frozen=True, tag="pcgrad"):
    """Gradient surgery: conflicting parts are projected away, pair by pair."""


class Mgda(Method, frozen=True, tag="mgda"):
    """Multiple-gradient descent: the shortest convex combination."""

    epsilon: Positive = 1e-3
    max_iters: Count = 100


class CaGrad(Method, frozen=True, tag="cagrad"):
    """Conflict-averse gradient descent."""

    c: NotNegative = 0.5
    norm_eps: NotNegative = 1e-4


class NashMtl(Method, frozen=True, tag="nash-mtl"):
    """The Nash bargaining solution."""

    max_norm: NotNegative = 1.0
    update_weights_every: Count = 1
    optim_niter: Count = 20


class AlignedMtl(Method, frozen=True, tag="aligned-mtl"):
    """Gradients with aligned principal components."""

    preference: Numbers | None = None
    scale_mode: Literal["min", "median", "rmse"] = "min"


class ImtlG(Method, frozen=True, tag="imtl-g"):
    """Impartial multi-task learning by gradients: equal projections on every task."""


class GradVac(Method, frozen=True, tag="gradvac"):
    """Gradient vaccine: cosine similarities are kept up to their moving average."""

    beta: Share = 0.5
    eps: NotNegative = 1e-8


class GradDrop(Method, frozen=True, tag="graddrop"):
    """Gradient sign dropout."""

    leak: Annotated[tuple[Share, ...], Meta(min_length=1)] | None = None


class Config(Method, frozen=True, tag="config"):
    """Conflict-free inverse gradients."""

    preference: Numbers | None = None


class FairGrad(Method, frozen=True, tag="fairgrad"):
    """Alpha-fair gains for all tasks."""

    alpha: Positive = 1.0
    max_iters: Count | None = None


class ExcessMtl(Method, frozen=True, tag="excess-mtl"):
    """Weights by excess risk, robust against noisy labels."""

    robust_step_size: Positive = 1.0
    n_warmup_steps: NotNegativeCount = 0


class Pcd(Method, frozen=True, tag="pcd"):
    """The first task's gradient, under the condition that the others do not lose."""

    tau: Share = 0.02
    beta: ShareBelowOne = 0.999


class TrimmedMean(Method, frozen=True, tag="trimmed-mean"):
    """The mean without the ``trim`` largest and smallest values of each coordinate."""

    trim: NotNegativeCount = 1


class Krum(Method, frozen=True, tag="krum"):
    """The gradients that are closest to the others."""

    n_byzantine: NotNegativeCount = 0
    n_selected: Count = 1


class CrMogm(Method, frozen=True, tag="cr-mogm"):
    """Another method's weights, smoothed over the steps."""

    of: Literal["aligned-mtl", "dualproj", "imtl-g", "mgda", "pcgrad", "upgrad"] = "mgda"
    alpha: Share = 0.9


# --- weightings by the gradients of independent batches, into which each batch of the recipe is cut ------------------


class MoDo(Method, frozen=True, tag="modo"):
    """Multi-objective gradient with double sampling: weights from the products of two batches' gradients."""

    gamma: Positive = 0.1
    rho: NotNegative = 0.1


class SdmGrad(Method, frozen=True, tag="sdmgrad"):
    """Stochastic direction-oriented gradient: weights from two batches, the step from a third one."""

    lr: Positive = 10.0
    momentum: ShareBelowOne = 0.5
    n_iter: Count = 20
    pull: NotNegative = 0.3
    preference: Numbers | None = None


Scalarization = Uw | ImtlL | Dwa | Famo | Rlw | Gls | Stch | Cosmos | Pbi
Aggregation = (
    UpGrad
    | DualProj
    | PcGrad
    | Mgda
    | CaGrad
    | NashMtl
    | AlignedMtl
    | ImtlG
    | GradVac
    | GradDrop
    | Config
    | FairGrad
    | ExcessMtl
    | Pcd
    | TrimmedMean
    | Krum
    | CrMogm
)
DoubleSampling = MoDo | SdmGrad
BalanceSpec = Equal | Scalarization | Aggregation | DoubleSampling

METHODS: Mapping[str, type[Method]] = {str(kind.__struct_config__.tag): kind for kind in get_args(BalanceSpec)}
"""Name -> method."""


def read_balance(found: str | Mapping[str, object]) -> BalanceSpec:
    """A method from its name, or from a table with its name and its options.

    Raises:
        RecipeError: no such method, or an option that breaks a rule.
    """
    table = {"name": found} if isinstance(found, str) else found
    name = table.get("name")
    kind = METHODS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(name), METHODS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(METHODS))
        raise RecipeError(f"train.balance: unknown method {name!r}; {hint}known are {known}")
    try:
        method: BalanceSpec = msgspec.convert(table, BalanceSpec)
    except msgspec.ValidationError as error:
        rule, _, where = str(error).partition(" - at `$")
        if unknown := re.search(r"unknown field `(.+)`", rule):
            options = ", ".join(kind.__struct_fields__) or "none"
            raise RecipeError(
                f"train.balance: unknown option {unknown[1]!r} of {name!r}; known are {options}"
            ) from error
        option = where.strip(".`").partition("[")[0]
        rule = rule[0].lower() + rule[1:].replace("`", "")
        raise RecipeError(f"train.balance.{option}: {rule}, found {table[option]!r}") from error
    return method
