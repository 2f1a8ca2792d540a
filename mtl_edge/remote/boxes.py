"""The same benchmark on several boxes at once; one that fails is a row of the result, and the others go on."""

import asyncio
from collections.abc import Sequence

from mtl_edge.errors import MtlEdgeError, last_words
from mtl_edge.progress import Bar, progress_bar
from mtl_edge.remote.adb import measure_on_android
from mtl_edge.remote.box import measure_over_ssh
from mtl_edge.remote.job import Job, Parcel, pack
from mtl_edge.remote.results import Boxes, BoxResult
from mtl_edge.remote.target import AndroidBox, Box, SshBox

_STEPS = 4


def benchmark_on(boxes: Sequence[Box], job: Job) -> Boxes:
    """Measure on all boxes at once; on each, the models take turns as they do here.

    Raises:
        BenchError: the job cannot be done on any box, for example because the wheelhouse lacks a wheel.
    """
    parcel = pack(job) if any(isinstance(box, SshBox) for box in boxes) else None
    with progress_bar("boxes", total=_STEPS * len(boxes)) as bar:
        return Boxes(boxes=tuple(asyncio.run(_all(boxes, job, parcel, bar))))


async def _all(boxes: Sequence[Box], job: Job, parcel: Parcel | None, bar: Bar) -> list[BoxResult]:
    return await asyncio.gather(*(_one(box, job, parcel, bar) for box in boxes))


async def _one(box: Box, job: Job, parcel: Parcel | None, bar: Bar) -> BoxResult:
    try:
        async with asyncio.timeout(job.timeout_s):
            match box:
                case SshBox():
                    assert parcel is not None
                    found = await measure_over_ssh(box, job, parcel, lambda step: bar.advance(f"{box.name}: {step}"))
                case AndroidBox():
                    found = await measure_on_android(box, job, lambda step: bar.advance(f"{box.name}: {step}"))
            return BoxResult(name=box.name, benchmark=found)
    except TimeoutError:
        return BoxResult(name=box.name, failure=f"it was not done within {job.timeout_s:.0f} s")
    except MtlEdgeError as error:
        return BoxResult(name=box.name, failure=str(error))
    except Exception as error:  # whatever it is, the other boxes' figures must not be lost
        return BoxResult(name=box.name, failure=f"{type(error).__name__}: {last_words(error)}")
