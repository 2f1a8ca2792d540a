"""Which layer's int8 hurts which task: each layer is quantized alone, and all but that one.

A layer that is harmless alone may add to what others do, and what one layer spoils another may hide; so both are
measured. Signal to noise of the outputs is cheap and is there for every layer; metrics under ONNX Runtime are what
counts, and are computed for the layers that are worst by noise, or for all.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx

from mtl_edge.artifact import NO_MEANING
from mtl_edge.bench.machine import TargetName
from mtl_edge.data.splits import Samples
from mtl_edge.errors import ModelError
from mtl_edge.progress import progress_bar
from mtl_edge.quantize.judge import Form, Judge
from mtl_edge.quantize.parts import By, parts_of
from mtl_edge.quantize.placement import quantizable_layers
from mtl_edge.quantize.ranges import Method
from mtl_edge.quantize.refinements import RoundingName
from mtl_edge.quantize.source import CalibratedSource
from mtl_edge.runtime import Metrics


class LayerDamage(msgspec.Struct, frozen=True):
    """What int8 in one layer does, or in one part of the network.

    Attributes:
        layer: name of its node; of a part, which outputs all of its layers serve: ``trunk``, ``shared (left, sum)``,
            ``left``; of a stage, also the size of its maps: ``trunk 18x18``.
        kind: its operator; of a part, how many of which: ``7 Conv, 1 Gemm``.
        serves: the outputs that depend on it.
        alone: only this layer is in int8.
        others: all but this layer are.
    """

    layer: str
    kind: str
    serves: tuple[str, ...]
    alone: Form
    others: Form

    def relief_db(self, everything: Form) -> dict[str, float]:
        """Output -> how much its signal to noise gains when this layer stays in float."""
        return {name: level - everything.noise_db[name] for name, level in self.others.noise_db.items()}


class DamageMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """Layers by outputs, those first that hurt some output most.

    Attributes:
        path: the fp32 model.
        target, method: of the quantization.
        fp32: its metrics, where there are test samples.
        everything: all layers are in int8.
        layers: one for each that can be.
    """

    path: str
    target: TargetName
    method: Method
    fp32: Metrics | None
    everything: Form
    layers: tuple[LayerDamage, ...]


def measure_damage(
    path: Path,
    source: CalibratedSource,
    *,
    target: TargetName,
    method: Method,
    test: Samples | None = None,
    exact: int | None = 5,
    by: By = "layer",
    rounding: RoundingName = "compensated",
    folder: Path | None = None,
) -> DamageMatrix:
    """Quantize each layer alone, and all but each layer, and measure every output.

    What has been measured is kept after each form, so that a killed process goes on where it was.

    Args:
        path: where the model came from.
        source: the model and its calibration.
        target: the kind of processor that will run it.
        method: how ranges are taken from what calibration saw.
        test: labelled samples, for metrics; the model must have a manifest then.
        exact: of how many layers, the worst by noise first, metrics are computed; None means all.
        by: what is quantized alone: each layer; or each part of the network, which are the layers that serve the same
            outputs: the trunk, what some tasks share, and each head; or each stage of a part, which are its layers
            whose maps are of one size.
        rounding: of the weights that are in int8, as for quantization; the others stay as they were trained.
        folder: where forms that have been measured are kept; None keeps nothing.

    Raises:
        ModelError: no layer can be quantized, or metrics are asked for of a model without a manifest.
        DataError: the test samples do not fit.
    """
    if test is not None and source.manifest is None:
        raise ModelError(f"{path}: {NO_MEANING}")
    graph = onnx.load_from_string(source.prepared).graph
    layers = quantizable_layers(graph)
    if not layers:
        raise ModelError(f"{path}: must have a layer with weights that can be quantized, found none")
    groups = parts_of(graph, layers, by)
    judge = Judge(source, target, method, rounding, test, folder)
    with progress_bar("damage", total=2 * len(groups) + 1) as bar:

        def noise(name: str, model: Callable[[], bytes]) -> Form:
            found = judge.noise(name, model)
            bar.advance(name)
            return found

        everything = noise("all", judge.all_but())
        rows = [
            LayerDamage(
                layer=group.name,
                kind=group.kind,
                serves=group.serves,
                alone=noise(f"only {group.name}", judge.only(*group.layers)),
                others=noise(f"all but {group.name}", judge.all_but(*group.layers)),
            )
            for group in groups
        ]
    rows.sort(key=lambda row: -max(row.relief_db(everything).values()))
    fp32: Metrics | None = None
    if test is not None:
        chosen = rows if exact is None else rows[:exact]
        with progress_bar("metrics", total=2 * len(chosen) + 2) as bar:

            def metrics(name: str, model: Callable[[], bytes]) -> Form:
                found = judge.metrics(name, model)
                bar.advance(name)
                return found

            members = {group.name: group.layers for group in groups}
            fp32 = metrics("fp32", lambda: source.prepared).metrics
            everything = metrics("all", judge.all_but())
            judged = [
                msgspec.structs.replace(
                    row,
                    alone=metrics(f"only {row.layer}", judge.only(*members[row.layer])),
                    others=metrics(f"all but {row.layer}", judge.all_but(*members[row.layer])),
                )
                for row in chosen
            ]
        rows = [*judged, *rows[len(chosen) :]]
    return DamageMatrix(
        path=str(path), target=target, method=method, fp32=fp32, everything=everything, layers=tuple(rows)
    )
