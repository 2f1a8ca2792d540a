"""What was verified, in the terminal."""

from rich.console import Console
from rich.table import Table

from mtl_edge.verify.verify import Verified


def show_verified(found: Verified, console: Console) -> None:
    """Print what is right, and what could not be checked."""
    table = Table.grid(padding=(0, 2))
    for name, manifest in found.manifests.items():
        tasks = ", ".join(task.name for task in manifest.tasks) or "no task"
        table.add_row(name, f"{manifest.name} {manifest.variant}: {tasks}; as sealed, SHA-256 {manifest.sha256[:16]}…")
    if found.files is not None:
        table.add_row("files", f"all {found.files} as listed")
    if found.goldens is not None:
        share = found.goldens.worst_share
        agree = "to the bit" if not share else f"the worst at {100 * share:.2g} % of its tolerance"
        table.add_row("goldens", f"{found.goldens.cases} agree on this box, {agree}")
    match found:
        case Verified(signer=str(said)):
            table.add_row("signature", f"of {found.signed} is valid: {' '.join(said.split())}")
        case Verified(signed=str(name)):
            table.add_row("signature", f"of {name} is there, but not checked: give --public-key")
        case _:
            table.add_row("signature", "none: hashes find accidents, not forgers")
    console.print(table, soft_wrap=True)
