"""Where the memory of a process goes that loads and runs one model."""

import msgspec


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh process with one thread; resident memory in bytes.

    ``runtime_bytes + weights_bytes + run_bytes`` is what stays resident after some runs; ``peak_rss_bytes`` is the most
    that ever was, which is often while the model is loaded.

    Attributes:
        arena: whether the runtime's arena, which keeps what it once allocated, was on.
        runtime_bytes: Python, numpy and the runtime, before the model is loaded.
        weights_bytes: what the loaded model keeps: weights, as the kernels want them, and the graph.
        run_bytes: what the runs keep in addition: with the arena on it holds their activations ready.
        load_peak_bytes: the most while the model was loaded.
        run_peak_bytes: the most while it ran.
        pss_bytes: at the end, with shared pages divided among the processes that share them; None if not readable.
    """

    arena: bool
    runtime_bytes: int
    weights_bytes: int
    run_bytes: int
    load_peak_bytes: int
    run_peak_bytes: int
    pss_bytes: int | None = None

    @property
    def resident_bytes(self) -> int:
        """What stays resident after the runs."""
        return self.runtime_bytes + self.weights_bytes + self.run_bytes

    @property
    def activations_bytes(self) -> int:
        """The most that the runs needed at a time beyond the loaded model; with the arena on, what that reserved."""
        return max(self.run_peak_bytes - self.runtime_bytes - self.weights_bytes, 0)

    @property
    def peak_rss_bytes(self) -> int:
        """The most that ever was."""
        return max(self.load_peak_bytes, self.run_peak_bytes)
