"""The stage that sets the least of a network's weights to zero."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mtl_edge.compress.pattern import read_pattern
from mtl_edge.compress.sparsify import count_zeros, held, mask_weights
from mtl_edge.stages.training import TRAINING_CODE, Network, save_trained
from mtl_edge.storage import Stage, write_atomically
from mtl_edge.tasks import without_budgets

SPARSIFIED_FILE = "sparsified.json"


def sparsify(parent: Network, data: Stage, teachers: Sequence[Network]) -> Stage:
    """A network with the least of its weights at zero, fine-tuned with teachers while they stay so."""
    stages, recipe, spec = parent.stages, parent.stages.recipe, parent.stages.recipe.compress.sparsify
    assert spec is not None  # a recipe with this step has it
    depends_on = stages.depends_on(
        {
            **stages.training_parts(data, teachers),
            "sparsify": spec,
            "tasks": without_budgets(recipe.tasks),
            "parent": parent.stage.digest,
        },
        code=("compress", *TRAINING_CODE),
        libraries=stages.libraries,
    )

    def work(folder: Path) -> None:
        material = stages.material(data)
        net, pattern = parent.net(data), read_pattern(spec.pattern)
        masks = mask_weights(net, pattern, across=spec.across)
        options = stages.options(spec, recipe.seed + 2)
        lesson = stages.lesson(data, teachers)
        with held(net, masks):
            history = stages.fit(
                "sparsify", depends_on, net, material, options, title="fine-tune sparse", teacher=lesson
            )
        write_atomically(folder / SPARSIFIED_FILE, msgspec.json.encode(count_zeros(pattern, masks)))
        save_trained(folder, net, history)

    return stages.made("sparsify", work, depends_on)
