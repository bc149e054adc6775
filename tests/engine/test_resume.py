import json
import logging
import math
import shutil

import pytest
import torch
from support.training_runs import (
    CHECKPOINT_AFTER,
    KILLED_AT,
    NUM_ITERATIONS,
    RATIO_FROZEN_AFTER,
    TASKS,
    KilledError,
    assert_equal,
    config,
    final_state,
    kill,
    records,
    run,
)

from rankdet.engine import training as engine
from rankdet.engine.hooks import CheckpointHook
from rankdet.engine.training import build_trainer, evaluate_checkpoint, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a run from start to end."""
    folder = tmp_path_factory.mktemp("whole")
    run(config(folder))
    return folder


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Folder of a run that was killed after a checkpoint, and resumed."""
    folder = tmp_path_factory.mktemp("resumed")
    with pytest.raises(KilledError):
        run(config(folder), kill_at=KILLED_AT)
    train(config(folder), resume=True)
    return folder


def test_killed_run_has_an_unfrozen_ratio_in_its_checkpoint(resumed):
    state = torch.load(resumed / f"model_{CHECKPOINT_AFTER - 1:07d}.pth")["model"]
    assert not state["roi_heads.box_predictor.loss.background_ratio_is_frozen"]
    assert state["roi_heads.box_predictor.loss.num_samples"].sum() > 0


def test_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, resumed):
    expected, found = final_state(whole), final_state(resumed)
    assert expected["trainer"]["iteration"] == NUM_ITERATIONS - 1
    assert expected["model"]["roi_heads.box_predictor.loss.background_ratio_is_frozen"]
    assert_equal(found, expected)


def test_resumed_run_continues_iterations_and_learning_rate(whole, resumed):
    rates = [{r["iteration"]: r["lr"] for r in records(x) if "lr" in r} for x in (whole, resumed)]
    assert rates[0].keys() == {1, 3, 5}
    assert rates[0].items() <= rates[1].items()


def test_ratio_is_logged_when_it_is_frozen(whole):
    ratio = final_state(whole)["model"]["roi_heads.box_predictor.loss.background_ratio"].item()
    logged = [r for r in records(whole) if "ecm/background_ratio" in r]
    assert [r["iteration"] for r in logged] == [RATIO_FROZEN_AFTER - 1]
    assert logged[0]["ecm/background_ratio"] == ratio


def test_files_of_a_run(whole):
    assert (whole / "last_checkpoint").read_text() == "model_final.pth"
    assert list(whole.glob("events.out.tfevents.*"))
    assert set(json.loads((whole / "results.json").read_text())) == TASKS
    assert any("eta_seconds" in r for r in records(whole))
    assert {"bbox/AP", "segm/APr"} <= records(whole)[-1].keys()


def test_finished_run_is_evaluated_again_but_not_trained(whole):
    expected = json.loads((whole / "results.json").read_text())
    (whole / "results.json").unlink()
    checkpoint = (whole / "model_final.pth").stat().st_mtime_ns
    train(config(whole), resume=True)
    assert json.loads((whole / "results.json").read_text()) == expected
    assert (whole / "model_final.pth").stat().st_mtime_ns == checkpoint


def test_every_iteration_is_in_the_metrics_once(whole, resumed):
    found = [[r["iteration"] for r in records(folder)] for folder in (whole, resumed)]
    assert sorted(found[0]) == [0, 1, 3, 5, 6]
    assert len(set(found[1])) == len(found[1])
    assert set(found[1]) >= {1, 3, 5, 6}


def copy_of_run(run_folder, folder):
    """The files that a resumed run reads, in another folder."""
    folder.mkdir()
    for path in [*run_folder.glob("*.pth"), run_folder / "metrics.json"]:
        shutil.copy(path, folder)
    return folder


def test_run_killed_while_it_wrote_the_final_checkpoint_gets_it(whole, tmp_path):
    folder = copy_of_run(whole, tmp_path / "killed")
    (folder / "model_final.pth").unlink()
    (folder / "model_final.pth.partial").write_bytes(b"half")
    last = f"model_{NUM_ITERATIONS - 1:07d}.pth"
    (folder / "last_checkpoint").write_text(last)
    train(config(folder), resume=True)
    assert_equal(final_state(folder), final_state(whole))
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    assert json.loads((folder / "results.json").read_text()) == json.loads(
        (whole / "results.json").read_text()
    )
    assert not list(folder.glob("*.partial"))


def test_run_with_more_iterations_than_asked_for_is_refused(whole, tmp_path):
    folder = copy_of_run(whole, tmp_path / "longer")
    (folder / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(ValueError, match=r"has 6 iterations behind it, more than train.max_iter=4"):
        build_trainer(config(folder, "train.max_iter=4"), resume=True)


def test_checkpoints_from_before_an_interruption_count(whole, tmp_path):
    folder = copy_of_run(whole, tmp_path / "resumed")
    (folder / "last_checkpoint").write_text(f"model_{CHECKPOINT_AFTER - 1:07d}.pth")
    trainer = build_trainer(config(folder, "train.checkpointer.max_to_keep=1"), resume=True)
    hook = next(h for h in trainer._hooks if isinstance(h, CheckpointHook))
    trainer.max_iter = NUM_ITERATIONS
    hook.before_train()
    assert hook.recent_checkpoints == [f"{folder}/model_{CHECKPOINT_AFTER - 1:07d}.pth"]


def test_evaluation_of_a_checkpoint_gives_the_results_of_the_run(whole, tmp_path):
    expected = json.loads((whole / "results.json").read_text())
    checkpoint = f"train.init_checkpoint={whole}/model_final.pth"
    for cfg, resume in [(config(tmp_path, checkpoint), False), (config(whole), True)]:
        results = evaluate_checkpoint(cfg, resume)
        for task, metrics in expected.items():
            for name, value in metrics.items():
                found = results[task][name]
                assert found == value or (value is None and math.isnan(found))


def test_only_training_may_start_from_weights_of_other_classes(whole, tmp_path):
    state = final_state(whole)["model"]
    state = {k: v[:5] if "cls_score" in k or "class_counts" in k else v for k, v in state.items()}
    torch.save({"model": state}, tmp_path / "five.pth")
    cfg = config(tmp_path, f"train.init_checkpoint={tmp_path}/five.pth")
    with pytest.raises(ValueError, match=r"cls_score.weight has shape \(5, 256\) .* and \(11, 256"):
        evaluate_checkpoint(cfg)
    trainer = build_trainer(cfg)
    assert trainer.start_iter == 0
    assert_equal(
        trainer.model.backbone.state_dict()["fpn_lateral2.weight"],
        state["backbone.fpn_lateral2.weight"],
    )


def evaluated_iterations(folder):
    return [r["iteration"] for r in records(folder) if "bbox/AP" in r]


def test_run_killed_in_an_evaluation_evaluates_when_it_is_resumed(tmp_path, monkeypatch):
    cfg = config(tmp_path, "train.eval_period=3")
    monkeypatch.setattr(engine, "evaluate", lambda cfg, model: kill(None))
    with pytest.raises(KilledError):
        run(cfg)
    assert evaluated_iterations(tmp_path) == []
    monkeypatch.setattr(engine, "evaluate", lambda cfg, model: {"bbox": {"AP": 1.0}})
    for _ in range(2):
        train(cfg, resume=True)
        assert evaluated_iterations(tmp_path) == [3, 6]
    found = [r["iteration"] for r in records(tmp_path)]
    assert len(set(found)) == len(found)


def test_resuming_nothing_is_reported(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="rankdet"):
        build_trainer(config(tmp_path), resume=True)
    assert f"{tmp_path} holds no checkpoint: starts at iteration 0." in caplog.text
