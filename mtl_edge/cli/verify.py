"""``verify``: is it what its maker sent?"""

from pathlib import Path

import click


@click.command(short_help="Check that a model or a folder is what its maker sent.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--public-key",
    metavar="KEY",
    help="Whose signature must be there: a minisign public key, or the file of one. Needs [sign].",
)
def verify(path: Path, public_key: str | None) -> None:
    """Check PATH, an .onnx that mtl-edge made or a folder that it exported.

    That is: the seal of every model, its manifest, the hash of every file, golden vectors on this box, and the
    signature, if there is a key to check it with. Whatever is wrong ends in one line and exit code 2.
    """
    from rich.console import Console

    from mtl_edge.report.verified import show_verified
    from mtl_edge.signing.keys import read_public_key
    from mtl_edge.verify.verify import verify as verify_path

    key = read_public_key(public_key) if public_key is not None else None
    show_verified(verify_path(path, key), Console())
