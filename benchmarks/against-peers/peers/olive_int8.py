"""Olive: a workflow of one pass, static quantization."""

import json
import shutil
import tempfile
from pathlib import Path

from job import BATCH, Job, Options, run

SETTINGS: dict[str, Options] = {
    "default": {},
    "QDQ U8S8 per-channel": {"activation_type": "uint8", "precision": "int8", "per_channel": True},
    "QDQ U8U8 per-channel": {"activation_type": "uint8", "precision": "uint8", "per_channel": True},
    "QOperator U8S8 per-channel": {
        **{"activation_type": "uint8", "precision": "int8", "per_channel": True},
        "quant_format": "QOperator",
    },
    "QDQ U8S8 per-channel Percentile": {
        **{"activation_type": "uint8", "precision": "int8", "per_channel": True},
        "calibrate_method": "Percentile",
    },
}
"""``default`` is QDQ S8S8 per tensor."""


def quantize(job: Job, options: Options) -> None:
    """Tell it of the samples, and run; its files go elsewhere, and the model comes from there."""
    from olive import run as follow
    from olive.data.component.dataset import BaseDataset
    from olive.data.registry import Registry

    def samples(**_: object) -> BaseDataset:
        """Each sample with a label, which is not read."""
        arrays = job.samples()
        count = len(next(iter(arrays.values())))
        return BaseDataset([({name: array[i] for name, array in arrays.items()}, 0) for i in range(count)])

    Registry.register_dataset("samples")(samples)
    with tempfile.TemporaryDirectory() as scratch:
        follow(
            {
                "input_model": {"type": "ONNXModel", "model_path": str(job.model)},
                "data_configs": [
                    {
                        "name": "calib",
                        "type": "DataContainer",
                        "load_dataset_config": {"type": "samples"},
                        "dataloader_config": {"type": "default_dataloader", "batch_size": BATCH},
                    }
                ],
                "passes": {"int8": {"type": "OnnxStaticQuantization", "data_config": "calib", **options}},
                "output_dir": f"{scratch}/out",
                "cache_dir": f"{scratch}/cache",
            }
        )
        found = list(Path(scratch, "out").rglob("*.onnx"))
        assert len(found) == 1, json.dumps([str(path) for path in found])
        shutil.copy(found[0], job.target)


if __name__ == "__main__":
    run(SETTINGS, quantize)
