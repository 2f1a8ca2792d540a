"""From a recipe to that of the student which its teachers train."""

import msgspec

from mtl_edge.recipe.compress import StudentSpec
from mtl_edge.recipe.recipe import Recipe


def student_of(recipe: Recipe) -> Recipe:
    """The same recipe, its network and its training being those of ``[compress.student]``."""
    spec = recipe.compress.student or StudentSpec()
    train = recipe.train
    return msgspec.structs.replace(
        recipe,
        net=spec.net or recipe.net,
        train=msgspec.structs.replace(
            train, epochs=spec.epochs or train.epochs, learning_rate=spec.learning_rate or train.learning_rate
        ),
    )
