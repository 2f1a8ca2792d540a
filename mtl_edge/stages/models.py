"""Stages that make models: export, int8, and the measurement of all of them."""

import dataclasses
from collections.abc import Mapping, Sequence
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
from mtl_edge.report.sharing import SINGLE_TASK
from mtl_edge.runtime import Session, evaluate, open_session, predict
from mtl_edge.stages.cached import CALIBRATION_BATCH, TASK_CODE, Material, model_input
from mtl_edge.stages.pruning import int8_target
from mtl_edge.stages.training import TrainingStages
from mtl_edge.stages.variants import Networks, Variant
from mtl_edge.storage import Stage, cache_folder, sha256_of, sha256_of_file, write_atomically
from mtl_edge.tasks import budgets_of

PARITY_FILE = "parity.json"
QUANTIZED_FILE = "quantized.json"
WITHHELD_FILE = "withheld.json"
BENCHMARK_FILE = "benchmark.json"
PROFILES_FILE = "profiles.json"

_ARTIFACT_LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn")
_RUNTIME_CODE = ("artifact.py", "intake", "runtime.py", *TASK_CODE)
_RACE_CODE = ("compress/withhold.py", "quantize/race.py")
_PROFILE_SECONDS = 0.6
_INT8 = "-int8"


class Stages(TrainingStages):
    """All stages of one recipe, kept in one cache."""

    def export(self, data: Stage, variants: Sequence[Variant]) -> Stage:
        """Networks as ONNX, proved equal to torch; each only where it is not slower than the one that it comes from."""
        recipe = self.recipe

        def work(folder: Path) -> None:
            material = self.material(data)
            splits, learner = material.splits, material.learner
            raw = splits.calib[recipe.data.input]
            parity: dict[str, float] = {}
            withheld: dict[str, Withheld] = {}
            kept: dict[str, bytes] = {}
            manifests: dict[str, Manifest] = {}
            for variant in variants:
                with spinner(f"export {variant.name}"):
                    net = variant.net(data)
                    model = export_onnx(net, learner.inputs(splits.calib, slice(2)), recipe.data.input)
                    with torch.inference_mode():
                        expected = {name: out.numpy() for name, out in net(learner.inputs(splits.calib)).items()}
                    found = predict(open_session(model), model_input(learner, raw), raw)
                    parity[variant.name] = check_parity(expected, found).difference
                    if slow := self._slower(variant, model, kept, material):
                        withheld[variant.name] = slow
                        continue
                    older = variant.nearest(kept)
                    parent = manifests[older.name] if older else None
                    count = net.parameter_count
                    manifest = self._manifest(variant.name, variant.steps, model, count, material, parent)
                    manifest = msgspec.structs.replace(manifest, sparse=variant.sparse)
                    manifests[variant.name] = write_artifact(folder / variant.name, model, manifest).manifest
                    kept[variant.name] = model
            write_atomically(folder / PARITY_FILE, canonical_json(parity))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self.stage(
            "export",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                **{variant.name: variant.stage.digest for variant in variants},
                "machine": this_machine(),  # what is slower than its parent here is withheld
            },
            code=("export", "nets", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def quantize(self, data: Stage, exported: Stage, networks: Networks) -> Stage:
        """What was exported in static int8; each only where it is not slower than the one that it comes from."""
        recipe, spec = self.recipe, self.recipe.compress.quantize
        target = int8_target(recipe)

        def work(folder: Path) -> None:
            material = self.material(data)
            splits, base = material.splits, None
            teacher = self.lesson(data, networks.lesson)
            teacher.check_tasks(recipe.tasks)
            budgets = budgets_of(recipe.tasks)
            outcomes: dict[str, Outcome] = {}
            withheld: dict[str, Withheld] = {}
            kept: dict[str, bytes] = {}
            for variant in networks.variants:
                source = exported.folder / variant.name
                if not source.is_dir():  # slower than what it comes from
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
                    goal=Goal(budgets, splits.val.arrays, base if len(networks.variants) > 1 else None)
                    if budgets
                    else None,
                    course=self._course(splits.train, samples, teacher, session),
                    guarding=spec.guard,
                    unseen=dataclasses.replace(
                        samples,
                        arrays={name: splits.val[name] for name in samples.arrays},
                        positions=np.arange(len(splits.val) // samples.batch_size * samples.batch_size),
                    ),
                )
                name = f"{variant.name}{_INT8}"
                if slow := self._slower(variant, model, kept, material, form=_INT8):
                    withheld[name] = slow
                    continue
                kept[variant.name] = model
                outcomes[name] = outcome
                steps = (*parent.lineage.steps, "static int8")
                manifest = self._manifest(name, steps, model, parent.parameters, material, parent)
                write_artifact(
                    folder / name, model, msgspec.structs.replace(manifest, target=target, sparse=variant.sparse)
                )
            write_atomically(folder / QUANTIZED_FILE, msgspec.json.encode(outcomes))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self.stage(
            "quantize",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                "parent": exported.digest,
                "teachers": [teacher.stage.digest for teacher in networks.lesson],
                "target": target,
                "machine": this_machine(),  # the audit, and a measured placement, are of what runs here
            },
            code=("quantize", "graph.py", "nets", "train/teacher.py", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def _course(self, train: Samples, drawn: CalibrationData, teacher: Session, student: InferenceSession) -> Course:
        """How an int8 network is fine-tuned, on the samples that the dense one has learned from."""
        spec, distill = self.recipe.compress.quantize, self.recipe.compress.distill
        data = dataclasses.replace(drawn, arrays={name: train[name] for name in drawn.arrays})
        return Course(
            when=spec.finetune,
            data=every_sample(data, student.get_inputs()),
            teacher=teacher,
            tasks=self.recipe.tasks,
            targets={task.name: train[task.target] for task in self.recipe.tasks},
            steps=spec.finetune_steps,
            weight=distill.weight,
            weights=distill.weights,
            temperature=distill.temperature,
            seed=self.recipe.seed,
        )

    def bench(self, data: Stage, models: Sequence[Contender]) -> Stage:
        """All variants under ONNX Runtime, each in fresh processes; and where the time of each goes."""
        spec = self.recipe.bench

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
            alone = (model.paths[0] for model in models if not model.name.startswith(SINGLE_TASK))
            profiles = profile_each(alone, threads=spec.threads[0], seconds=_PROFILE_SECONDS)
            write_atomically(folder / PROFILES_FILE, msgspec.json.encode(profiles))

        return self.stage(
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

    def _slower(
        self, variant: Variant, model: bytes, kept: Mapping[str, bytes], material: Material, *, form: str = ""
    ) -> Withheld | None:
        """Which of the models that are results already makes this one none, if one does; all are of one form."""
        older = variant.nearest(kept)
        if older is None or not variant.gives_way_to(older):
            return None
        batch = {self.recipe.data.input: material.learner.inputs(material.splits.calib, slice(2)).numpy()}
        return slower_than(f"{older.name}{form}", kept[older.name], model, batch)

    def _manifest(
        self,
        variant: str,
        steps: tuple[str, ...],
        model: bytes,
        parameters: int,
        material: Material,
        parent: Manifest | None,
    ) -> Manifest:
        test = material.splits.test
        source = model_input(material.learner, test[self.recipe.data.input])
        values = evaluate(open_session(model), self.recipe.tasks, source, test.arrays)
        return Manifest(
            name=self.recipe.name,
            variant=variant,
            tasks=self.recipe.tasks,
            inputs=(source,),
            metrics=Measured(split="test", samples=len(test), values=values),
            lineage=Lineage(
                recipe_sha256=sha256_of(canonical_json(recipe_body(self.recipe))),
                data_sha256=material.sha256,
                seed=self.recipe.seed,
                steps=steps,
                parent=parent.variant if parent else None,
                parent_sha256=parent.sha256 if parent else None,
            ),
            parameters=parameters,
            opset=OPSET,
            versions=library_versions(_ARTIFACT_LIBRARIES),
            runtime=version("onnxruntime"),
        )
