"""The benchmark of training iterations compares what it says."""

from collections.abc import Sequence

import pytest
from detectron2.config import instantiate
from detectron2.modeling.roi_heads import FastRCNNOutputLayers

from rankdet.engine.config import load_config
from rankdet.tools.benchmark import iteration, iteration_presets
from rankdet.tools.benchmark.__main__ import main
from rankdet.tools.benchmark.iteration_presets import (
    DENSE_LOSSES,
    DETECTORS,
    PRESETS,
    classification_losses,
    dense_losses,
    ranking_losses,
)

# To draw all of the large glyphs would take most of the time.
SMALL = (
    "dataloader.train.dataset.names=glyphs_smoke_train",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
)


def rows_of(printed: str) -> list[list[str]]:
    """The cells below each line of dashes."""
    lines = [line.split() for line in printed.splitlines()]
    return [cells for cells in lines if cells[-2:-1] == ["-"]]


def run(capsys: pytest.CaptureFixture[str], *options: str) -> list[list[str]]:
    main(["iteration", "--iterations", "2", *options, *SMALL])
    return rows_of(capsys.readouterr().out)


def test_configs_are_compared_with_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    configs = [f"glyphs/{name}_r18_fpn.py" for name in ("atss", "faster_rcnn")]
    rows = run(capsys, "--configs", configs[0], "--baseline", configs[1], "train.device=cpu")
    assert [row[0] for row in rows] == configs[::-1]
    assert rows[0][2:] == ["1.000", "1.000", "-", "1.000"]
    assert float(rows[1][1]) > 0 and float(rows[1][2]) > 0


def test_every_preset_is_run_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def print_comparison(experiments: dict[str, object], num_iterations: int) -> None:
        compared.append((next(iter(experiments)), num_iterations))

    def comparisons(overrides: Sequence[str]) -> list[tuple[str, dict[str, None]]]:
        return [("title", dict.fromkeys(overrides))]

    for name, preset in PRESETS.items():
        monkeypatch.setitem(PRESETS, name, preset._replace(comparisons=comparisons))
    monkeypatch.setattr(iteration, "print_comparison", print_comparison)
    main(["iteration", "train.seed=3"])
    assert compared == [("train.seed=3", 40)] * len(PRESETS)
    main(["iteration", "--presets", "pcb", "atss", "--iterations", "7", "train.seed=4"])
    assert compared[len(PRESETS) :] == [("train.seed=4", 7)] * 2


@pytest.mark.slow
def test_only_the_predictor_differs_from_detectron2s() -> None:
    for (_, experiments), num_classes in zip(classification_losses(SMALL), (36, 1203), strict=True):
        reference, *others = experiments.values()
        assert list(experiments) == ["Detectron2", "softmax CE", "sigmoid BCE", "ECM"]
        assert reference.model.roi_heads.box_predictor._target_ is FastRCNNOutputLayers
        assert "loss" not in reference.model.roi_heads.box_predictor
        assert reference.model.roi_heads.num_classes == num_classes
        for cfg in others:
            cfg.model.roi_heads.box_predictor = reference.model.roi_heads.box_predictor
            assert cfg.model == reference.model


@pytest.mark.slow
def test_ranking_losses_get_the_proposals_of_the_baseline() -> None:
    ((_, experiments),) = ranking_losses(SMALL)
    assert list(experiments) == ["softmax CE", "AP", "BAP", "aLRP", "NDCG", "RS", "BRS"]
    sizes = {
        name: cfg.model.roi_heads.get("batch_size_per_image") for name, cfg in experiments.items()
    }
    assert sizes.pop("softmax CE") == iteration_presets.ALL_PROPOSALS
    assert set(sizes.values()) <= {None, sizes["AP"]}


@pytest.mark.parametrize(
    "detector", [pytest.param(x, marks=[] if x == "atss" else pytest.mark.slow) for x in DETECTORS]
)
def test_only_the_loss_or_the_whole_experiment_differs(detector: str) -> None:
    ((title, experiments),) = dense_losses(detector, [*SMALL, "model.num_classes=10"])
    own, *others = [name for name in experiments if not name.endswith(" config")]
    assert title == detector
    assert own == ("varifocal" if detector == "varifocalnet" else "focal")
    assert {own, *others} == set(DENSE_LOSSES)
    default = experiments[own]
    for name, cfg in experiments.items():
        assert cfg.dataloader.train.total_batch_size == 2
        assert (cfg.model.loss == default.model.loss) == (name == own)
        assert instantiate(cfg.model.loss).num_classes == 10
        differing = {key for key in default.model if cfg.model[key] != default.model[key]}
        assert (differing <= {"loss"}) == (not name.endswith(" config"))
    whole = {name.removesuffix(" config") for name in experiments if name.endswith(" config")}
    for name in DENSE_LOSSES.keys() - whole:
        with pytest.raises(FileNotFoundError):
            load_config(f"glyphs/{detector}_r18_fpn_{name.lower()}.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("classification", ["Detectron2", "softmax CE", "sigmoid BCE", "ECM"]),
        ("pcb", ["softmax", "softmax + PCB", "EQL v2", "EQL v2 + PCB", "Seesaw", "Seesaw + PCB"]),
    ],
)
def test_presets_run(
    preset: str,
    names: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iteration_presets, "NUMBERS_OF_CLASSES", (50,))
    monkeypatch.setattr(iteration_presets, "LVIS_CLASSES", 50)
    rows = run(capsys, "--presets", preset)
    assert [" ".join(row[:-5]) for row in rows] == names
    assert rows[0][-4] == "1.000"
