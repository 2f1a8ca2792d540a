"""What is read off the profiler's file."""

import json

from mtl_edge.profile.worker import read_events

_WARM = 3


def _node(name: str, op: str, ts: int, dur: int, size: int = 8) -> dict[str, object]:
    arguments = {"op_name": op, "output_size": str(size), "input_type_shape": [{"float": [1]}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}


def _session(name: str, ts: int, dur: int) -> dict[str, object]:
    return {"cat": "Session", "name": name, "ts": ts, "dur": dur, "args": {}}


def test_runs_of_the_warm_up_do_not_count() -> None:
    """Nor do the load and what a session says of itself."""
    events = [_session("model_loading_uri", 0, 50)]
    for run, took in enumerate([900] * _WARM + [10, 12, 14, 16]):
        start = 1000 * (run + 1)
        events += [_node("conv", "Conv", start + 1, took), _session("model_run", start, took + 5)]
    (node,) = read_events(json.dumps(events).encode())
    assert (node.name, node.op_type, node.us, node.output_bytes) == ("conv", "Conv", 13.0, 8)


def test_what_runs_inside_of_a_loop_is_part_of_it() -> None:
    """Also where it begins in the same microsecond; what comes after it is not, even if it takes no time."""
    events = []
    for run in range(_WARM + 2):
        start = 1000 * (run + 1)
        events += [
            _node("inner", "MatMul", start + 1, 20),
            _node("inner", "MatMul", start + 30, 20),
            _node("loop", "Loop", start + 1, 60),
            _node("after", "Relu", start + 61, 0),
            _session("model_run", start, 70),
        ]
    assert [(node.name, node.us) for node in read_events(json.dumps(events).encode())] == [("loop", 60), ("after", 0)]
