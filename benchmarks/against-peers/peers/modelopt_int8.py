"""NVIDIA Model Optimizer's quantizer for ONNX, which is made for TensorRT; here it calibrates on the CPU."""

import shutil
import tempfile

from job import Job, Options, run

SETTINGS: dict[str, Options] = {
    "default": {},
    "entropy, fp32": {"high_precision_dtype": "fp32"},
    "max, fp32": {"calibration_method": "max", "high_precision_dtype": "fp32"},
    "max, fp32, all layers": {
        "calibration_method": "max",
        "high_precision_dtype": "fp32",
        "op_types_to_quantize": ["Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool"],
    },
}
"""``default`` is by entropy, with fp16 for what is not in int8."""


def quantize(job: Job, options: Options) -> None:
    """Quantize a copy with all samples: it writes shapes into the very file that it is given."""
    from modelopt.onnx.quantization import quantize as make

    with tempfile.TemporaryDirectory() as scratch:
        make(
            str(shutil.copy(job.model, scratch)),
            quantize_mode="int8",
            calibration_data=job.samples(),
            calibration_eps=["cpu"],
            output_path=str(job.target),
            **options,
        )


if __name__ == "__main__":
    run(SETTINGS, quantize)
