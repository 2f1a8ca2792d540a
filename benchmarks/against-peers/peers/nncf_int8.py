"""NNCF's post-training quantization of ONNX."""

from job import Job, Options, run

SETTINGS: dict[str, Options] = {
    "default": {},
    "mixed": {"preset": "mixed"},
    "CPU": {"device": "CPU"},
    "CPU mixed": {"device": "CPU", "preset": "mixed"},
    "accurate bias correction": {"fast_bias_correction": False},
}
"""``default`` has activations symmetric and for any device; ``mixed`` has them asymmetric."""


def quantize(job: Job, options: Options) -> None:
    """Quantize with all samples, of which its default would take 300 batches."""
    import nncf
    import onnx

    batches = list(job.batches(1))
    made = nncf.quantize(
        onnx.load(job.model),
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset(options["preset"]) if "preset" in options else None,
        target_device=nncf.TargetDevice[options.get("device", "ANY")],
        subset_size=len(batches),
        fast_bias_correction=options.get("fast_bias_correction", True),
    )
    onnx.save(made, job.target)


if __name__ == "__main__":
    run(SETTINGS, quantize)
