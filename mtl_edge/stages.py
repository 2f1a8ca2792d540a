"""Stages that make models: export, int8, and the measurement of all of them."""

import dataclasses
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from onnxruntime import InferenceSession

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE, Lineage, Manifest, Measured, write_artifact
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.compress.outcome import Withheld
from mtl_edge.compress.withhold import slower_than
from mtl_edge.data.splits import Samples
from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import OPSET, export_onnx
from mtl_edge.profile.several import profile_each
from mtl_edge.progress import spinner
from mtl_edge.provenance import canonical_json, library_versions, recipe_body
from mtl_edge.quantize.budgets import Goal
from mtl_edge.quantize.data import CalibrationData, calibration_data
from mtl_edge.quantize.finetune.course import Course, every_sample
from mtl_edge.quantize.outcome import Outcome, quantize_calibrated
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.source import calibrated
from mtl_edge.runtime import Session, evaluate, open_session, predict
from mtl_edge.storage import Stage, cache_folder, sha256_of, sha256_of_file, write_atomically
from mtl_edge.tasks import budgets_of
from mtl_edge.training_stages import CALIBRATION_BATCH, TASK_CODE, Material, TrainingStages, int8_target, model_input

PARITY_FILE = "parity.json"
QUANTIZED_FILE = "quantized.json"
WITHHELD_FILE = "withheld.json"
BENCHMARK_FILE = "benchmark.json"
PROFILES_FILE = "profiles.json"
VARIANTS = ("dense", "dense-int8", "pruned", "pruned-int8")
"""What becomes of one network, each fp32 form before its int8 one."""

_ARTIFACT_LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn")
_RUNTIME_CODE = ("artifact.py", "intake", "runtime.py", *TASK_CODE)
_RACE_CODE = ("compress/withhold.py", "quantize/race.py")
_PROFILE_SECONDS = 0.6


class Stages(TrainingStages):
    """All stages of one recipe, kept in one cache."""

    def export(self, data: Stage, dense: Stage, pruned: Stage) -> Stage:
        """Both networks as ONNX, proved equal to torch; the pruned one only where it is not the slower one."""
        recipe = self._recipe

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, learner = material.splits, material.learner
            raw = splits.calib[recipe.data.input]
            parity: dict[str, float] = {}
            withheld: dict[str, Withheld] = {}
            parent: Manifest | None = None
            before = b""
            for variant, stage, step in (("dense", dense, "train"), ("pruned", pruned, "prune + distill")):
                with spinner(f"export {variant}"):
                    net = self._trained(stage, material)
                    model = export_onnx(net, learner.inputs(splits.calib, slice(2)), recipe.data.input)
                    with torch.inference_mode():
                        expected = {name: out.numpy() for name, out in net(learner.inputs(splits.calib)).items()}
                    found = predict(open_session(model), model_input(learner, raw), raw)
                    parity[variant] = check_parity(expected, found).difference
                    if parent is None:
                        before = model
                    elif slow := slower_than(parent.variant, before, model, self._batch(material)):
                        withheld[variant] = slow
                        continue
                    manifest = self._manifest(variant, step, model, net.parameter_count, material, parent)
                    artifact = write_artifact(folder / variant, model, manifest)
                    parent = parent or artifact.manifest
            write_atomically(folder / PARITY_FILE, canonical_json(parity))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self._stage(
            "export",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                "dense": dense.digest,
                "pruned": pruned.digest,
                "machine": this_machine(),  # what is slower than its parent here is withheld
            },
            code=("export", "nets", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def quantize(self, data: Stage, exported: Stage) -> Stage:
        """Both networks in static int8; the pruned one only where it is not the slower one."""
        recipe, spec = self._recipe, self._recipe.compress.quantize
        target = int8_target(recipe)

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, base = material.splits, None
            teacher: Session | None = None
            budgets = budgets_of(recipe.tasks)
            outcomes: dict[str, Outcome] = {}
            withheld: dict[str, Withheld] = {}
            before = b""
            for variant in ("dense", "pruned"):
                source = exported.folder / variant
                if not source.is_dir():  # slower than the dense one
                    continue
                parent = msgspec.json.decode((source / MANIFEST_FILE).read_bytes(), type=Manifest)
                content = (source / MODEL_FILE).read_bytes()
                session = open_session(content)
                samples = calibration_data(
                    session.get_inputs(),
                    splits.calib.arrays,
                    parent,
                    samples=len(splits.calib),
                    batch_size=CALIBRATION_BATCH,
                    seed=recipe.seed,
                )
                known = calibrated(session, content, parent, samples, folder=None, equalized=spec.equalize)
                teacher = teacher or session
                if budgets and base is None:  # every loss is counted from the dense network
                    base = evaluate(session, parent.tasks, parent.inputs, splits.val.arrays)
                model, outcome = quantize_calibrated(
                    known,
                    method=spec.method,
                    target=target,
                    placement="all" if spec.placement == "all" else None,
                    refinements=Refinements(
                        equalize=spec.equalize, rounding=spec.rounding, correct_bias=spec.correct_bias
                    ),
                    cache=cache_folder(),
                    goal=Goal(budgets, splits.val.arrays, base) if budgets else None,
                    course=self._course(splits.train, samples, teacher, session),
                    guarding=spec.guard,
                    unseen=dataclasses.replace(
                        samples,
                        arrays={name: splits.val[name] for name in samples.arrays},
                        positions=np.arange(len(splits.val) // samples.batch_size * samples.batch_size),
                    ),
                )
                if not before:
                    before = model
                elif slow := slower_than("dense-int8", before, model, self._batch(material)):
                    withheld[f"{variant}-int8"] = slow
                    continue
                outcomes[f"{variant}-int8"] = outcome
                manifest = self._manifest(f"{variant}-int8", "static int8", model, parent.parameters, material, parent)
                write_artifact(folder / f"{variant}-int8", model, msgspec.structs.replace(manifest, target=target))
            write_atomically(folder / QUANTIZED_FILE, msgspec.json.encode(outcomes))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self._stage(
            "quantize",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                "parent": exported.digest,
                "target": target,
                "machine": this_machine(),  # the audit, and a measured placement, are of what runs here
            },
            code=("quantize", "graph.py", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def _course(self, train: Samples, drawn: CalibrationData, teacher: Session, student: InferenceSession) -> Course:
        """How an int8 network is fine-tuned, on the samples that the dense one has learned from."""
        spec, distill = self._recipe.compress.quantize, self._recipe.compress.distill
        data = dataclasses.replace(drawn, arrays={name: train[name] for name in drawn.arrays})
        return Course(
            when=spec.finetune,
            data=every_sample(data, student.get_inputs()),
            teacher=teacher,
            tasks=self._recipe.tasks,
            targets={task.name: train[task.target] for task in self._recipe.tasks},
            steps=spec.finetune_steps,
            weight=distill.weight,
            weights=distill.weights,
            temperature=distill.temperature,
            seed=self._recipe.seed,
        )

    def bench(self, data: Stage, models: Sequence[Contender]) -> Stage:
        """All variants under ONNX Runtime, each in fresh processes; and where the time of each goes."""
        spec = self._recipe.bench

        def work(folder: Path) -> None:
            settings = Settings(
                threads=spec.threads,
                rounds=spec.rounds,
                round_seconds=spec.round_seconds,
                cold_starts=spec.cold_starts,
                memory_repeats=spec.memory_repeats,
                data=data.folder / "test",
            )
            measured = benchmark(models, base=models[0], settings=settings)
            write_atomically(folder / BENCHMARK_FILE, msgspec.json.encode(measured))
            alone = (model.paths[0] for model in models if model.name in VARIANTS)
            profiles = profile_each(alone, threads=spec.threads[0], seconds=_PROFILE_SECONDS)
            write_atomically(folder / PROFILES_FILE, msgspec.json.encode(profiles))

        return self._stage(
            "bench",
            work,
            {
                "bench": spec,
                "data": data.digest,
                "models": {model.name: [sha256_of_file(path) for path in model.paths] for model in models},
                "machine": this_machine(),
            },
            code=("bench", "profile", "quantize", "optimize", "graph.py", "data/splits.py", *_RUNTIME_CODE),
            libraries=("onnxruntime", "onnx", "scikit-learn"),
        )

    def _batch(self, material: Material) -> dict[str, np.ndarray]:
        """What an exported network is timed with."""
        return {self._recipe.data.input: material.learner.inputs(material.splits.calib, slice(2)).numpy()}

    def _manifest(
        self, variant: str, step: str, model: bytes, parameters: int, material: Material, parent: Manifest | None
    ) -> Manifest:
        test = material.splits.test
        source = model_input(material.learner, test[self._recipe.data.input])
        values = evaluate(open_session(model), self._recipe.tasks, source, test.arrays)
        return Manifest(
            name=self._recipe.name,
            variant=variant,
            tasks=self._recipe.tasks,
            inputs=(source,),
            metrics=Measured(split="test", samples=len(test), values=values),
            lineage=Lineage(
                recipe_sha256=sha256_of(canonical_json(recipe_body(self._recipe))),
                data_sha256=material.sha256,
                seed=self._recipe.seed,
                steps=(*(parent.lineage.steps if parent else ()), step),
                parent=parent.variant if parent else None,
                parent_sha256=parent.sha256 if parent else None,
            ),
            parameters=parameters,
            opset=OPSET,
            versions=library_versions(_ARTIFACT_LIBRARIES),
            runtime=version("onnxruntime"),
        )
