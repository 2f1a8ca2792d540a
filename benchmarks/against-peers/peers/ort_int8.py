"""ONNX Runtime's own quantizer, in its forms, types and methods."""

import tempfile
from pathlib import Path

from job import Job, Options, Reader, run

SETTINGS: dict[str, Options] = {
    "default": {},
    **{
        f"{form} {types} {weights}": {"form": form, "types": types, "per_channel": weights == "per-channel"}
        for form in ("QDQ", "QOperator")
        for types in ("U8S8", "U8U8", "S8S8")
        for weights in ("per-channel", "per-tensor")
    },
    **{
        f"{form} U8S8 per-channel {method}": {"form": form, "types": "U8S8", "per_channel": True, "method": method}
        for form in ("QDQ", "QOperator")
        for method in ("Entropy", "Percentile")
    },
    "QDQ U8S8 per-channel reduced": {"form": "QDQ", "types": "U8S8", "per_channel": True, "reduce_range": True},
}
"""``default`` is QDQ S8S8 per tensor; the method is MinMax where none is named."""


def quantize(job: Job, options: Options) -> None:
    """Prepare the graph, as the documentation advises, and quantize it."""
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        prepare(job.model, prepared)
        quantize_file(prepared, job.target, job, options)


def prepare(model: Path, target: Path) -> None:
    """What should come before: shapes and ONNX Runtime's optimization; its symbolic shapes fail on these graphs."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(model, target, skip_symbolic_shape=True)


def quantize_file(source: Path, target: Path, job: Job, options: Options) -> None:
    """Quantize an fp32 model with the job's samples."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    kinds = {"U8": QuantType.QUInt8, "S8": QuantType.QInt8}
    chosen: dict[str, object] = {}
    if options:
        chosen = {
            "quant_format": QuantFormat[options["form"]],
            "activation_type": kinds[options["types"][:2]],
            "weight_type": kinds[options["types"][2:]],
            "per_channel": options["per_channel"],
            "reduce_range": options.get("reduce_range", False),
            "calibrate_method": CalibrationMethod[options.get("method", "MinMax")],
        }
    quantize_static(source, target, Reader(job), **chosen)


if __name__ == "__main__":
    run(SETTINGS, quantize)
