"""Queries that arrive by chance at a rate (a Poisson process), answered one at a time, first come, first served."""

import time
from collections.abc import Callable

import numpy as np

_SPIN_S = 2e-4
"""A sleep may end this much too late; the rest of a wait is spent awake."""


def serve(run: Callable[[], object], rate: float, seconds: float, least: int, give_up_ms: float) -> list[float]:
    """Latencies in ms from a query's arrival to its answer, for at least so many seconds AND queries.

    Args:
        run: answers one query.
        rate: mean arrivals per second.
        seconds: at least this long.
        least: at least so many queries.
        give_up_ms: end early, because the queue only grows, when a query took this long.
    """
    chance = np.random.default_rng(0)
    clock = time.perf_counter
    latencies: list[float] = []
    begin = arrival = clock()
    while arrival - begin < seconds or len(latencies) < least:
        arrival += chance.exponential(1 / rate)
        while (wait := arrival - clock()) > 0:
            if wait > _SPIN_S:
                time.sleep(wait - _SPIN_S)
        run()
        latencies.append(round(1e3 * (clock() - arrival), 5))
        if latencies[-1] > give_up_ms:
            break
    return latencies
