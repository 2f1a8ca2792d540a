"""When to fine-tune, and whether what came of it is better; imports torch only where it is needed."""

import msgspec

from mtl_edge.errors import ModelError, needs_extra
from mtl_edge.quantize.budgets import Judge
from mtl_edge.quantize.finetune.course import Course, Finetuned
from mtl_edge.quantize.static import Refined, insert_form
from mtl_edge.quantize.target import Target


def finetuned(
    refined: Refined, target: Target, course: Course, judge: Judge | None
) -> tuple[Refined, Finetuned | None]:
    """Fine-tune an int8 model where that is wanted; what comes of it is never worse than before.

    Args:
        refined: the model, and what it was written from.
        target: the kind of processor that will run it.
        course: when, from what, and for how long.
        judge: of the budgets, if tasks have some: the training stops where all hold.

    Returns:
        The better one of the model before and the trained one, and what is to be told; nothing where there was no need.

    Raises:
        DataError: there are too few samples to learn from.
        MissingExtraError: torch is not installed.
    """
    before = refined.placed
    if course.when == "never" or (course.when == "if-needed" and not _missed(judge, before.model)):
        return refined, None
    with needs_extra("train"):
        from mtl_edge.quantize.finetune.training import finetune
    stops = (lambda model: not _missed(judge, model)) if course.when == "if-needed" else None
    try:
        form, told = finetune(refined.form, before.kept, target, course, stops)
    except ModelError as error:  # a graph that cannot be trained is quantized all the same
        return refined, Finetuned(remark=str(error))
    if not told.kept:
        return refined, told
    model = insert_form(form, target, before.kept)
    if judge is not None and judge.excess(judge.spent(model)) > judge.excess(judge.spent(before.model)):
        return refined, msgspec.structs.replace(told, kept=False, remark="budgets would be missed by more than before")
    return Refined(form, msgspec.structs.replace(before, model=model)), told


def _missed(judge: Judge | None, model: bytes) -> bool:
    return judge is not None and bool(judge.misses(judge.spent(model)))
