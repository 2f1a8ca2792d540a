"""Whether a pruned network is slower than its parent: then it is no result, whatever it was to become smaller in."""

from mtl_edge.compress.outcome import Withheld
from mtl_edge.quantize.race import Feeds, is_faster, latency_ratio
from mtl_edge.quantize.remembered import without_weights


def slower_than(name: str, parent: bytes, pruned: bytes, batch: Feeds) -> Withheld | None:
    """That a pruned network is clearly slower than its parent on this box with one thread, or None.

    It must lose two races of several interleaved rounds, each by more than noise: one lost by chance costs a result.

    Args:
        name: the parent's, as the user knows it.
        parent: the network before pruning, in the same form: both in float or both in int8.
        pruned: the smaller one.
        batch: input name -> samples.
    """
    if without_weights(parent) == without_weights(pruned):  # the same layers: any difference is noise
        return None
    if not (is_faster(parent, pruned, batch) and is_faster(parent, pruned, batch)):
        return None
    return Withheld(than=name, ratio=latency_ratio(parent, pruned, batch))
