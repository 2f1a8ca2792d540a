"""Names of tasks and columns as identifiers of a programming language."""

import re
from collections.abc import Collection, Iterable


def identifiers(names: Iterable[str], reserved: Collection[str]) -> dict[str, str]:
    """Name -> identifier: ASCII letters, digits and ``_``, no digit first, none of them reserved.

    They differ in more than case, because getters of the JVM begin with a capital letter.

    Args:
        names: any texts.
        reserved: what the language, or the code around, keeps for itself.
    """
    found: dict[str, str] = {}
    kept = {word.lower() for word in reserved}
    taken = set(kept)
    for name in names:
        base = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "unnamed"
        if base[0].isdigit() or base.lower() in kept:
            base = f"the_{base}"
        choices = (base if number == 1 else f"{base}_{number}" for number in range(1, len(taken) + 3))
        found[name] = next(choice for choice in choices if choice.lower() not in taken)
        taken.add(found[name].lower())
    return found
