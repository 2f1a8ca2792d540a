"""Several models' profiles: what a finished run says of where the time of each of its variants goes."""

from collections.abc import Iterable
from pathlib import Path

from mtl_edge.errors import MtlEdgeError
from mtl_edge.profile.measure import profile
from mtl_edge.profile.results import Profile, Profiles
from mtl_edge.progress import spinner


def profile_each(paths: Iterable[Path], *, threads: int, seconds: float) -> Profiles:
    """Profile one model after the other, with inputs of batch 1.

    A model that cannot be profiled costs nobody what has been measured of it otherwise.

    Args:
        paths: the models.
        threads: intra-op threads.
        seconds: how long to measure each.
    """
    found: list[Profile] = []
    failures: list[str] = []
    for path in paths:
        with spinner(f"profile {path.parent.name}"):
            try:
                found.append(profile(path, threads=threads, seconds=seconds))
            except MtlEdgeError as error:
                failures.append(str(error))
    return Profiles(found=tuple(found), failures=tuple(failures))
