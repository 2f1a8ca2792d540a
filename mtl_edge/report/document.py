"""All that a run found out, as one value: ``report.json`` is its JSON."""

import msgspec

from mtl_edge.bench.results import Benchmark
from mtl_edge.compress.outcome import Pruned, Sparsified, Withheld
from mtl_edge.profile.results import Profiles
from mtl_edge.quantize.outcome import Outcome
from mtl_edge.tasks import Noise


class EpochRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch: mean loss per task on the training samples, metrics per task on the validation samples."""

    losses: dict[str, float]
    metrics: dict[str, dict[str, float]]


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run.

    ``training`` has one list of epochs per trained network, teachers among them as ``teacher/NAME``; ``validation`` has
    what their weights reach on the validation samples, by task and metric. ``parity`` is the worst difference between
    torch and ONNX Runtime per exported network, in standard deviations of the output. ``pruned`` says of each pruned
    network what is left of it, and which channels serve one task only, ``sparse`` of each sparse one how much of it is
    zero. ``quantized`` says of each int8 model how it came about, what the runtime really runs in int8, and what became
    of the tasks' budgets. ``withheld`` says of each model that is no result which one is faster. ``noise`` says of each
    task with a budget how well it is known what the last network loses of it. ``profiles`` says where the time of each
    variant goes; reports of older versions have none of them, nor ``validation``.
    """

    name: str
    recipe: str
    training: dict[str, tuple[EpochRecord, ...]]
    parity: dict[str, float]
    quantized: dict[str, Outcome]
    benchmark: Benchmark
    profiles: Profiles = Profiles()
    pruned: dict[str, Pruned] = {}
    sparse: dict[str, Sparsified] = {}
    withheld: dict[str, Withheld] = {}
    noise: tuple[Noise, ...] = ()
    validation: dict[str, dict[str, dict[str, float]]] = {}
