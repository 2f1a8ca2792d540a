"""``[data]``."""

from mtl_edge.recipe.section import Count, Positive, Section


class DataSpec(Section, frozen=True):
    """``[data]``: where the samples come from and how they are split.

    ``source`` is ``mnist-pairs`` or ``npz:FILE`` (relative to the recipe). ``split`` gives the shares of train,
    validation and test. ``samples`` says how many composites a generated source makes for each of them.
    """

    source: str
    input: str = "image"
    split: tuple[Positive, Positive, Positive] = (0.7, 0.1, 0.2)
    samples: tuple[Count, Count, Count] = (24_000, 2_000, 5_000)
    calibration: Count = 512
