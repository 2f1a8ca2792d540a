"""``mtl-edge``, and ``python -m mtl_edge``: the command line, and what can be begun before it has been read."""

import sys

_MEASURES_ELSEWHERE_OR_NOT = ("--on", "--hosts", "-h", "--help")


def main() -> None:
    """Run the command; for one that measures here, a first measuring process starts beside its imports."""
    command, *arguments = [*sys.argv[1:], ""]
    if command != "bench" or any(argument.startswith(_MEASURES_ELSEWHERE_OR_NOT) for argument in arguments):
        _run()
        return
    from mtl_edge.bench.standby import dismiss, prepare

    prepare()
    try:
        _run()
    finally:
        dismiss()


def _run() -> None:
    from mtl_edge.cli import main

    main()


if __name__ == "__main__":
    main()
