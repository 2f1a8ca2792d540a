"""How often names occur in a stream of them."""

from collections import Counter
from collections.abc import Iterable

_MOST = 1 << 20


class Frequencies:
    """Counts of names. Beyond a million different ones, those that were seen once so far are forgotten."""

    def __init__(self) -> None:
        self._counter = Counter[str]()

    def __len__(self) -> int:
        return len(self._counter)

    def add(self, names: Iterable[str]) -> None:
        """Count in some names."""
        self._counter.update(names)
        if len(self._counter) > _MOST:
            self._counter = Counter({name: count for name, count in self._counter.items() if count > 1})

    def most_common(self, most: int, least: int) -> tuple[str, ...]:
        """At most so many names that occur at least so often, the most frequent first, equals in alphabetical order."""
        ordered = sorted(self._counter.items(), key=lambda item: (-item[1], item[0]))
        return tuple(name for name, count in ordered[:most] if count >= least)
