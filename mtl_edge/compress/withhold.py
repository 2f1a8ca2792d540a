"""Whether a compressed network is slower than its parent: then it is no result, whatever else is smaller."""

from mtl_edge.compress.outcome import Withheld
from mtl_edge.quantize.race import Feeds, is_faster, latency_ratio
from mtl_edge.quantize.remembered import without_weights


def slower_than(name: str, parent: bytes, smaller: bytes, batch: Feeds) -> Withheld | None:
    """That a compressed network is clearly slower than its parent on this box with one thread, or None.

    It must lose two races of several interleaved rounds, each by more than noise: one lost by chance costs a result.

    Args:
        name: the parent's, as the user knows it.
        parent: the network that it comes from, in the same form: both in float or both in int8.
        smaller: a pruned network, or a student.
        batch: input name -> samples.
    """
    if without_weights(parent) == without_weights(smaller):  # the same layers: any difference is noise
        return None
    if not (is_faster(parent, smaller, batch) and is_faster(parent, smaller, batch)):
        return None
    return Withheld(than=name, ratio=latency_ratio(parent, smaller, batch))
