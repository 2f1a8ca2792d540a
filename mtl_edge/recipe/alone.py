"""From a recipe for several tasks to that of one of them."""

import msgspec

from mtl_edge.errors import RecipeError
from mtl_edge.recipe.net import CustomNetSpec, HardSpec, NetSpec
from mtl_edge.recipe.recipe import Recipe
from mtl_edge.tasks import Task


def alone(recipe: Recipe, task: Task) -> Recipe:
    """The same recipe for one of its tasks: the same trunk, shared with nobody and balanced against nothing.

    Raises:
        RecipeError: the network is a whole module, which has no trunk to train apart.
    """
    if isinstance(recipe.net, CustomNetSpec):
        raise RecipeError("net: single-task networks need a trunk and heads to train apart, found a whole module")
    compress, distill, student = recipe.compress, recipe.compress.distill, recipe.compress.student
    own = {name: weight for name, weight in distill.weights.items() if name == task.name}
    return msgspec.structs.replace(
        recipe,
        tasks=(task,),
        net=_unshared(recipe.net),
        train=msgspec.structs.replace(recipe.train, balance="equal", weights={}),
        compress=msgspec.structs.replace(
            compress,
            distill=msgspec.structs.replace(distill, weights=own),
            student=student and msgspec.structs.replace(student, net=student.net and _unshared(student.net)),
        ),
        single_task=False,
    )


def _unshared(net: NetSpec) -> NetSpec:
    return net if isinstance(net, CustomNetSpec) else msgspec.structs.replace(net, sharing=HardSpec())
