"""``python -m mtl_edge`` is the same program as ``mtl-edge``."""

from mtl_edge.cli import main

if __name__ == "__main__":
    main()
