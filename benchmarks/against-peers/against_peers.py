"""mtl-edge against every tool that makes int8 models for ONNX Runtime: three networks, one harness, one run.

Usage: python benchmarks/against-peers/against_peers.py run --workdir DIR [--envs DIR] [--quick] [NETWORK…]
       python benchmarks/against-peers/against_peers.py tables [--from DIR]

``run`` trains the networks, installs each peer into an environment of its own, lets every tool work with each of its
settings, measures all that came of it, and writes NETWORK.json and the tables of README.md beside this file. Whatever
is in the working folder already is used again, so that networks can be trained and tools installed before: with
``--until networks`` or ``--until environments``. With ``--quick`` one sees within minutes whether everything works: the
networks are hardly trained, and results stay in the working folder.
"""

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import click
import environments
import msgspec
import networks
import onnx
import ours
import picture
import tables as markdown
from costs import Cost, ToolError, run
from networks import Network
from results import OURS, Kind, Measured, Model, Row

from mtl_edge.artifact import MODEL_FILE, Manifest, seal
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import write_atomically

HERE = Path(__file__).parent
SCRIPTS = HERE / "peers"
Step = Literal["networks", "environments", "tools", "measure"]


@dataclass(frozen=True)
class Peer:
    """A tool: its environment and requirements are called ``name``."""

    name: str
    title: str
    script: str
    kind: Kind = "int8"


PEERS = (
    Peer("ort", "onnxruntime.quantization", "ort_int8.py"),
    Peer("olive", "Olive", "olive_int8.py"),
    Peer("neural-compressor", "Neural Compressor", "neural_compressor_int8.py"),
    Peer("nncf", "NNCF", "nncf_int8.py"),
    Peer("modelopt", "Model Optimizer", "modelopt_int8.py"),
    Peer("quark", "Quark", "quark_int8.py"),
    Peer("torchao", "torchao pt2e", "torchao_int8.py"),
    Peer("torch-pruning", "torch-pruning + ORT", "torch_pruning_int8.py", "pruned"),
)
_LEAST_CPU_SECONDS = 60.0


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool left beside its model, or in place of it."""

    cost: Cost | None = None
    error: str = ""


@click.group()
def main() -> None:
    """Run everything, or write the tables of what was measured before."""


@main.command("run")
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--envs", type=click.Path(file_okay=False, path_type=Path), help="[default: WORKDIR/envs]")
@click.option("--quick", is_flag=True, help="A trial: hardly trained networks, few rounds.")
@click.option("--until", type=click.Choice(get_args(Step)), default="measure", help="The last step to do.")
@click.option("--only", multiple=True, metavar="TOOL", help="These tools only. [several times]")
@click.option("--limit", type=float, default=3600.0, help="Seconds after which a tool is stopped.")
@click.argument("names", nargs=-1)
def run_all(
    workdir: Path,
    envs: Path | None,
    quick: bool,
    until: Step,
    only: tuple[str, ...],
    limit: float,
    names: tuple[str, ...],
) -> None:
    """Train, install, let the tools work, measure."""
    workdir = workdir.resolve()
    envs = (envs or workdir / "envs").resolve()
    peers = [peer for peer in PEERS if not only or peer.name in only]
    made = [networks.make(name, workdir / name, quick=quick) for name in names or networks.NAMES]
    if until == "networks":
        return
    pythons = {peer: installed(peer, envs) for peer in peers}
    if until == "environments":
        return
    results = workdir if quick else HERE
    for network in made:
        with_ours = not only or OURS in only
        recipes = list(ours.recipes(network.name))[: 1 if quick else None] if with_ours else []
        int8 = ours.INT8 if with_ours else ()
        rows = list(let_work(network, pythons, int8=int8, recipes=recipes, limit_s=limit, quick=quick))
        if until == "measure":
            measured = measure(network, rows, quick=quick)
            text = msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n"
            write_atomically(results / f"{network.name}.json", text)
    if until == "measure":
        write_tables(results)


@main.command("tables")
@click.option(
    "--from",
    "results",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=HERE,
    help="Where the results are. Of another folder the tables are only shown.",
)
def tables_only(results: Path) -> None:
    """Write the tables into README.md."""
    write_tables(results)


def write_tables(results: Path) -> None:
    """Print the goals; put the tables into README.md, or print them too where it is a trial; and draw the pictures."""
    files = [results / f"{name}.json" for name in networks.NAMES]
    found = [msgspec.json.decode(file.read_bytes(), type=Measured) for file in files if file.exists()]
    print(markdown.goals(found))
    text = markdown.page(found)
    if results == HERE:
        readme = HERE / "README.md"
        write_atomically(readme, markdown.inserted(readme.read_text(encoding="utf-8"), text).encode())
    else:
        print(text)
    for measured in found:
        picture.draw(measured, results / f"{measured.network}.svg")


# --- the tools ------------------------------------------------------------------------------------------------------


def installed(peer: Peer, envs: Path) -> Path | ToolError:
    """The interpreter with a peer in it, or why there is none."""
    try:
        return environments.python_of(peer.name, envs)
    except ToolError as error:
        print(f"{peer.title}: {error}", flush=True)
        return error


def let_work(
    network: Network,
    pythons: dict[Peer, Path | ToolError],
    *,
    int8: Iterable[str],
    recipes: Iterable[str],
    limit_s: float,
    quick: bool,
) -> Iterator[tuple[Row, Path]]:
    """Every tool with every setting on one network: rows without measurements yet, and where their models are.

    Ours comes first: its longest recipe is what a peer that trains may take, too.
    """
    folder = network.folder / "made"
    budget = _LEAST_CPU_SECONDS
    for setting in int8:
        out = folder / OURS / setting
        made = once(out, partial(ours.quantize, network, setting, out, limit_s=limit_s))
        yield _row(OURS, setting, "int8", made), out
    for setting in recipes:
        out = folder / OURS / setting
        made = once(out, partial(ours.follow, network, setting, out, limit_s=limit_s, quick=quick))
        budget = max(budget, made.cost.cpu_seconds if made.cost else 0)
        yield _row(OURS, setting, "pruned", made), out
    for peer, python in pythons.items():
        if isinstance(python, ToolError):
            yield Row(tool=peer.title, setting="all", kind=peer.kind, error=str(python)), folder
            continue
        for setting in settings_of(peer, python):
            out = folder / peer.name / setting
            command = [
                *(str(python), str(SCRIPTS / peer.script), "--model", str(network.model)),
                *("--calib", str(network.folder / "calib.npz"), "--out", str(out)),
                *("--cpu-seconds", str(budget), setting),
            ]
            made = once(
                out, partial(run, command, log=out / "log.txt", limit_s=limit_s, folder=out, env=environments.ALONE)
            )
            yield _row(peer.title, setting, peer.kind, made), out


def settings_of(peer: Peer, python: Path) -> list[str]:
    """What the script of a peer can be asked for."""
    done = subprocess.run([python, SCRIPTS / peer.script, "--list"], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def once(out: Path, work: Callable[[], Cost]) -> Made:
    """Do it, unless it has been done before; remove ``made.json`` and it is done again."""
    mark = out / "made.json"
    if mark.exists():
        return msgspec.json.decode(mark.read_bytes(), type=Made)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        made = Made(cost=work())
        if not (out / MODEL_FILE).exists():
            made = Made(error="wrote no model")
    except ToolError as error:
        made = Made(error=str(error))
    took = f"{made.cost.wall_seconds:.1f} s" if made.cost else made.error
    print(f"{out.relative_to(out.parents[3])}: {took}", flush=True)
    write_atomically(mark, msgspec.json.encode(made))
    return made


def _row(tool: str, setting: str, kind: Kind, made: Made) -> Row:
    return Row(tool=tool, setting=setting, kind=kind, cost=made.cost, error=made.error)


# --- the measurement ------------------------------------------------------------------------------------------------


def measure(network: Network, rows: list[tuple[Row, Path]], *, quick: bool) -> Measured:
    """All models of one network in one run, in turn with the dense one."""
    manifest = manifest_of(network.model, open_session(network.model))
    assert manifest is not None
    sealed: dict[str, Path] = {}
    errors: dict[str, str] = {}
    for row, out in rows:
        if row.error:
            continue
        try:
            sealed[row.name] = seal_copy(out / MODEL_FILE, manifest, network.folder / "sealed" / row.name)
        except Exception as error:  # whatever a tool wrote, it is that tool's row
            errors[row.name] = f"cannot be read: {error}".splitlines()[0][:300]
    models = [Contender(name, (path,)) for name, path in sealed.items()]
    settings = Settings(
        threads=(1,),
        rounds=5 if quick else 20,
        round_seconds=0.02 if quick else 0.2,
        cold_starts=1,
        memory_repeats=0,
        data=network.data("test"),
        keep_going=True,
    )
    base = Contender("dense", (network.model,))
    found = benchmark(models, base=base, settings=settings)
    errors |= {failure.name: failure.reason for failure in found.failures}
    return Measured(
        network=network.name,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        quick=quick,
        machine=found.machine,
        conditions=found.conditions,
        versions={peer.title: environments.version(peer.name) for peer in PEERS},
        tasks=manifest.tasks,
        samples=len(network.samples("test")),
        dense=_model(found.base_result, network.model),
        rows=tuple(
            msgspec.structs.replace(
                row,
                error=row.error or errors.get(row.name, ""),
                model=_found(found, row.name, out / MODEL_FILE),
            )
            for row, out in rows
        ),
    )


def seal_copy(source: Path, manifest: Manifest, folder: Path) -> Path:
    """A copy with the dense network's manifest, by which its tasks are measured, and with weights from files beside."""
    proto = onnx.load(source)
    del proto.metadata_props[:]
    content, _ = seal(proto.SerializeToString(), manifest)
    write_atomically(folder / MODEL_FILE, content)
    return folder / MODEL_FILE


def _found(found: Benchmark, name: str, file: Path) -> Model | None:
    result = found.result(name)
    return None if result is None else _model(result, file)


def _model(result: Result, file: Path) -> Model:
    """What was measured, with the size of what the tool itself has written."""
    latency = result.latency(1)
    beside = file.parent.glob(f"{MODEL_FILE}[._]*")  # weights in a file of their own
    return Model(
        metrics=result.metrics or {},
        latency_ms=latency.round_medians_ms,
        base_ms=latency.base_ms,
        file_bytes=file.stat().st_size + sum(path.stat().st_size for path in beside),
    )


if __name__ == "__main__":
    main()
