"""The parent's side of a profile: cut the tasks out, have a fresh process measure, and say what each node is for."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from mtl_edge.errors import BenchError, MissingExtraError, needs_extra
from mtl_edge.profile.results import GraphNode, Profile, ProfiledNode, TaskCost
from mtl_edge.profile.worker import Answer, NodeTime, Request

_WORKER = ("-m", "mtl_edge.profile.worker")


def profile(
    path: Path,
    *,
    batch: int = 1,
    dims: Mapping[str, int] | None = None,
    threads: int = 1,
    seconds: float = 0.8,
) -> Profile:
    """Measure where the time of a model goes: by operator, by layer and by task.

    The profiler adds some microseconds to every node, which can be several times what a small one takes. So the model
    is also run without it, and each node's time is taken as what the profiler says less the same amount for all, such
    that together they are as long as an unwatched run. What a task costs is measured anew: the model without it is
    made, and run in turn with the whole. Without the package onnx there are names, operators and times only.

    Args:
        path: any ``.onnx``; without a manifest its outputs are the tasks.
        batch: size of symbolic first dimensions.
        dims: sizes of other symbolic dimensions, by name.
        threads: intra-op threads.
        seconds: how long to measure; starting the process and loading the model come on top.

    Raises:
        BenchError: the model cannot be run, or its process died.
        ModelError: the model cannot be loaded, or contradicts its manifest.
    """
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as temporary:
        folder = Path(temporary)
        cuts, remark = _cut_tasks(path, folder)
        answer = _ask(
            Request(
                path=str(path),
                folder=temporary,
                batch=batch,
                dims=dict(dims or {}),
                threads=threads,
                seconds=seconds,
                without=tuple(map(str, cuts.values())),
            )
        )
        graph = () if remark else _graph_nodes(folder / "optimized.onnx", answer)
        cut_bytes = {task: cut.stat().st_size for task, cut in cuts.items()}
    file_bytes = path.stat().st_size
    nodes = tuple(_profiled(answer.nodes, statistics.median(answer.latency_ms), graph))
    saved_ms = dict(zip(cuts, answer.saved_ms, strict=True))
    return Profile(
        path=str(path),
        file_bytes=file_bytes,
        threads=threads,
        inputs=answer.inputs,
        latency_ms=answer.latency_ms,
        profiled_ms=sum(node.us for node in answer.nodes) / 1e3,
        nodes=nodes,
        tasks=tuple(
            _task_cost(name, nodes, saved_ms.get(name, ()), file_bytes - cut_bytes[name] if name in cuts else None)
            for name in answer.outputs
            if graph
        ),
        remark=remark,
    )


def spread_overhead(durations: Sequence[float], total: float) -> list[float]:
    """Take the same off each duration, but none below zero, so that they add up to the total at most.

    Example: ``spread_overhead([5, 3, 1], 4)`` is ``[3, 1, 0]``.
    """
    excess = sum(durations) - total
    if excess <= 0:
        return list(durations)
    taken, rest = 0.0, sorted(durations)
    for done, duration in enumerate(rest):
        taken = excess / (len(rest) - done)
        if taken <= duration:
            break
        excess -= duration
    return [max(duration - taken, 0.0) for duration in durations]


def _cut_tasks(path: Path, folder: Path) -> tuple[dict[str, Path], str]:
    """Task -> a file of the model without it; and what is missing without the package onnx, or nothing."""
    try:
        with needs_extra("quantize"):
            from mtl_edge.profile.graph import without_each_output
    except MissingExtraError as error:
        return {}, f"no layers, precisions and tasks: {error}"
    cuts = {}
    for number, (task, model) in enumerate(without_each_output(path)):
        cuts[task] = folder / f"without-{number}.onnx"
        cuts[task].write_bytes(model)
    return cuts, ""


def _ask(request: Request) -> Answer:
    """Have a fresh process measure."""
    done = subprocess.run(
        [sys.executable, *_WORKER], input=msgspec.json.encode(request), capture_output=True, check=False
    )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise BenchError(f"{request.path}: the measuring process ended with status {done.returncode}: {last}")
    answer = msgspec.json.decode(done.stdout, type=Answer)
    if answer.error:
        raise BenchError(answer.error)
    return answer


def _graph_nodes(optimized: Path, answer: Answer) -> Sequence[GraphNode]:
    """What the graph says of the nodes that the profiler saw."""
    from mtl_edge.profile.graph import optimized_nodes

    nodes = optimized_nodes(optimized)
    seen = [node.op_type for node in answer.nodes]
    if seen != [node.op_type for node in nodes]:
        raise BenchError(f"the profiler must name the {len(nodes)} nodes of the optimized graph, found {len(seen)}")
    return nodes


def _profiled(times: Sequence[NodeTime], total_ms: float, nodes: Sequence[GraphNode]) -> Iterator[ProfiledNode]:
    shares = spread_overhead([time.us / 1e3 for time in times], total_ms)
    known = nodes or [GraphNode(name=time.name, op_type=time.op_type) for time in times]
    for time, node, ms in zip(times, known, shares, strict=True):
        yield ProfiledNode(
            **msgspec.structs.asdict(node),
            ms=round(ms, 6),
            profiled_ms=round(time.us / 1e3, 6),
            output_bytes=time.output_bytes,
        )


def _task_cost(
    name: str, nodes: Sequence[ProfiledNode], saved_ms: Sequence[float], saved_bytes: int | None
) -> TaskCost:
    own = [node for node in nodes if node.serves == (name,)]
    return TaskCost(
        name=name,
        head_ms=sum(node.ms for node in own),
        head_weight_bytes=sum(node.weight_bytes for node in own),
        saved_ms=tuple(saved_ms),
        saved_bytes=saved_bytes,
    )
