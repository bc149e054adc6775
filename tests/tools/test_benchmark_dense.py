"""The benchmark of one-stage detectors compares what it says."""

from typing import Any

import pytest
from omegaconf import DictConfig

from rankdet.tools.benchmark import dense_iteration, interleaved
from rankdet.tools.benchmark.__main__ import main
from rankdet.tools.benchmark.dense_iteration import CONFIGS, DETECTORS, LOSSES, WHOLE

NUM_ANCHORS = 24**2 + 12**2 + 6**2  # The small glyphs have 96 px.


def load_batches(cfg: DictConfig) -> list[Any]:
    """Train on small glyphs: to draw all of the large ones would take most of the time."""
    cfg.dataloader.train.dataset.names = "glyphs_smoke_train"
    return interleaved.load_batches(cfg)


@pytest.mark.parametrize("detector", DETECTORS)
def test_only_the_loss_or_the_whole_experiment_differs(detector: str) -> None:
    experiments = dense_iteration._experiments(detector, 2)
    own, *others = [name for name in experiments if not name.endswith(WHOLE)]
    assert own == ("varifocal" if detector == "varifocalnet" else "focal")
    assert {own, *others} == set(LOSSES)
    default = experiments[own]
    for name, cfg in experiments.items():
        assert cfg.dataloader.train.total_batch_size == 2
        assert (cfg.model.loss == default.model.loss) == (name == own)
        differing = {key for key in default.model if cfg.model[key] != default.model[key]}
        assert (differing <= {"loss"}) == (not name.endswith(WHOLE))
    stem = f"{detector}_r18_fpn_"
    found = {path.stem.removeprefix(stem) for path in (CONFIGS / "glyphs").glob(f"{stem}*.py")}
    whole = {name.lower() for name in LOSSES if name + WHOLE in experiments}
    assert whole == found - {"ecm"}


@pytest.mark.slow
def test_every_loss_is_compared_with_the_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_iteration, "load_batches", load_batches)
    main(["dense_iteration", "--iterations", "2", "--images", "2", "--detectors", "atss"])
    printed = capsys.readouterr().out
    assert f"atss: {2 * NUM_ANCHORS * 36:,} logits" in printed
    rows = [line.split() for line in printed.splitlines()[-len(LOSSES) :]]
    assert [row[0] for row in rows] == list(LOSSES)
    assert rows[0][2] == "1.000"
    assert [row[0] for row in rows if row[-1].endswith(")")] == ["RS", "BRS"]
