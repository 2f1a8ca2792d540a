"""Neural Compressor's quantizer for ONNX, which was parted from it as a package of its own."""

from job import Job, Options, Reader, run

_ALL = 512
SETTINGS: dict[str, Options] = {
    "default": {},
    "QOperator U8S8 per-channel": {"per_channel": True},
    "QDQ U8S8 per-channel": {"per_channel": True, "form": "QDQ"},
    "QOperator U8S8 per-channel reduced": {"per_channel": True, "reduce_range": True},
    "SmoothQuant": {"smooth": True},
}
"""``default`` is QOperator U8S8 per tensor."""


def quantize(job: Job, options: Options) -> None:
    """Quantize with all samples, of which its default would take 100."""
    from onnx_neural_compressor import data_reader
    from onnx_neural_compressor.quantization import QuantFormat, config
    from onnx_neural_compressor.quantization import quantize as make

    class Samples(Reader, data_reader.CalibrationDataReader):  # type: ignore[misc]  # there are no types of it
        """Its smoothing asks for a class of its own."""

    made = config.StaticQuantConfig(
        calibration_data_reader=Samples(job),
        quant_format=QuantFormat[options.get("form", "QOperator")],
        per_channel=options.get("per_channel", False),
        reduce_range=options.get("reduce_range", False),
        calibration_sampling_size=_ALL,
        extra_options={"SmoothQuant": True} if options.get("smooth") else {},
    )
    make(str(job.model), str(job.target), made)


if __name__ == "__main__":
    run(SETTINGS, quantize)
