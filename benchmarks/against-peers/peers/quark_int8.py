"""AMD Quark's quantizer for ONNX, by the names that it gives to its configurations."""

from job import Job, Options, Reader, run

SETTINGS: dict[str, Options] = {
    "default": {"config": "A8W8"},
    "XINT8": {"config": "XINT8"},
    "U8S8_AAWS": {"config": "U8S8_AAWS"},
    "S8S8_AAWS": {"config": "S8S8_AAWS"},
    "U8U8_AAWA": {"config": "U8U8_AAWA"},
    "U8S8_AAWS_ADAROUND": {"config": "U8S8_AAWS_ADAROUND"},
}
"""``default`` is A8W8, with which its documentation begins; it has none of its own."""


def quantize(job: Job, options: Options) -> None:
    """Quantize with all samples, one at a time, as it asks for."""
    from quark.onnx import ModelQuantizer, QConfig

    config = QConfig.get_default_config(options["config"])
    ModelQuantizer(config).quantize_model(str(job.model), str(job.target), Reader(job, 1))


if __name__ == "__main__":
    run(SETTINGS, quantize)
