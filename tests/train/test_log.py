"""A training says how it stands: a few lines in a pipe, curves for TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_edge.data.splits import Splits
from mtl_edge.errors import MissingExtraError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.train import log
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions

MakeNet = Callable[[], MultiTaskNet]
Options = Callable[..., FitOptions]


def test_a_pipe_gets_a_line_every_few_epochs(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four of them, however many epochs; each with the first metric of each task."""
    fit(make_net(), learner, splits, options(epochs=8), title="train")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"train: epoch {epoch}/8" for epoch in (2, 4, 6, 8)]
    assert all("bright accuracy" in line and "level MAE" in line for line in lines)


def test_a_terminal_gets_losses_and_metrics_in_the_bar(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses while an epoch runs, metrics from the second one on."""
    notes: list[str] = []
    monkeypatch.setattr(log.console, "_force_terminal", True)
    monkeypatch.setattr(log, "_SECONDS_PER_NOTE", 0.0)
    monkeypatch.setattr(log.Bar, "advance", lambda self, note=None: notes.append(note))
    fit(make_net(), learner, splits, options(epochs=2), title="train")
    assert len(notes) == 2 * 16
    assert notes[0].startswith("epoch 1/2  bright 0.")
    assert "(bright accuracy" in notes[-1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what tensorboard imports
def test_tensorboard_reads_the_curves(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, tmp_path: Path
) -> None:
    """Losses, all metrics and the learning rate, one point per epoch."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = fit(make_net(), learner, splits, options(epochs=3), title="train", log_dir=tmp_path)
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        *(f"loss/{task}" for task in ("bright", "level")),
        *(f"{metric}/bright" for metric in ("accuracy", "macro_recall", "macro_f1")),
        *(f"{metric}/level" for metric in ("mae", "mse", "r2")),
        "learning_rate",
    }
    points = events.Scalars("r2/level")
    assert [point.step for point in points] == [16, 32, 48]
    assert [point.value for point in points] == pytest.approx([epoch.metrics["level"]["r2"] for epoch in history])


def test_without_tensorboard_its_extra_is_named(
    splits: Splits,
    learner: Learner,
    make_net: MakeNet,
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any step."""
    import builtins

    honest = builtins.__import__

    def without(name: str, *arguments: object, **named: object) -> object:
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")
        return honest(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"'tensorboard'.*pip install 'mtl-edge\[tensorboard\]'"):
        fit(make_net(), learner, splits, options(), title="train", log_dir=tmp_path)
