"""What the box does when all it needs is there: one benchmark, asked for and answered in JSON."""

import sys
from pathlib import Path

import msgspec

from mtl_edge.bench.contender import contenders
from mtl_edge.bench.results import Benchmark
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.errors import MtlEdgeError


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Models and base by their places on the box; the base is the first of them, or up to the benchmark."""

    models: tuple[str, ...]
    first_is_base: bool
    settings: Settings


def measure(request: Request) -> Benchmark:
    """Measure on this box."""
    named = contenders([Path(path) for path in request.models])
    return benchmark(named, base=named[0] if request.first_is_base else None, settings=request.settings)


def main() -> None:
    """Answer the request on standard input."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        measured = measure(request)
    except MtlEdgeError as error:
        sys.exit(f"mtl-edge: error: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
