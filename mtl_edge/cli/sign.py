"""``keygen`` and ``sign``: say who a model is from."""

from pathlib import Path

import click


@click.command(short_help="Make a pair of keys for signatures.")
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--password", is_flag=True, help="Ask for a password, without which the key cannot be used.")
def keygen(key: Path, password: bool) -> None:
    """Make a pair of keys for signatures: KEY, which only you can read, and KEY's name with .pub to give away.

    They are minisign's, and so are the signatures. Needs [sign].
    """
    from mtl_edge.signing.keys import new_key, write_keys

    secret = new_key()
    chosen = click.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
    public = write_keys(key, secret, chosen)
    click.echo(f"secret   {key}\npublic   {public}\nline     {secret.public.line}")


@click.command(short_help="Sign a model or an exported folder.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The secret key, as keygen or minisign made it.",
)
def sign(path: Path, key: Path) -> None:
    """Sign PATH, an .onnx or a folder that mtl-edge exported, once it is known to be whole.

    The signature is beside the .onnx, or beside the list of the folder's files and their hashes. Needs [sign].
    """
    from mtl_edge.signing.keys import read_secret_key
    from mtl_edge.signing.signature import sign_file
    from mtl_edge.verify.verify import check_hashes, signed_file

    check_hashes(path)
    secret = read_secret_key(key, lambda: click.prompt("Password", hide_input=True, type=str))
    click.echo(f"signature  {sign_file(signed_file(path), secret)} by {secret.public.name}")
