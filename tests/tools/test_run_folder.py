import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig
from support.smoke_run import CONFIG, smoke_config

from rankdet.engine.config import load_config
from rankdet.tools import collect_confusion, ranking_errors, visualize
from rankdet.tools.picture_detector import load_detector
from rankdet.tools.run_folder import (
    find_checkpoint,
    find_config,
    load_model,
    load_run_config,
    read_json,
    read_metrics,
)


@pytest.fixture(scope="module")
def moved(untrained_run, tmp_path_factory):
    """A run that was moved, and in its old place one whose weights are damaged."""
    root = tmp_path_factory.mktemp("runs")
    (root / "before").mkdir()
    run = Path(shutil.copytree(untrained_run, root / "now"))
    cfg = load_config(str(run / "config.yaml"))
    cfg.train.output_dir = str(root / "before")
    LazyConfig.save(cfg, str(run / "config.yaml"))
    (root / "before" / "last_checkpoint").write_text("model_0000009.pth")
    (root / "before" / "model_0000009.pth").write_text("damaged")
    return run


def test_a_moved_run_is_where_it_lies_now(moved):
    cfg = load_run_config(find_config(moved))
    assert cfg.train.output_dir == str(moved)
    assert find_checkpoint(moved) == str(moved / "model_final.pth")
    saved = torch.load(moved / "model_final.pth", weights_only=False)["model"]
    for name, value in load_model(cfg, find_checkpoint(moved)).state_dict().items():
        assert torch.equal(value.cpu(), torch.as_tensor(saved[name]))


@pytest.mark.parametrize("given", [".", "config.yaml"])
def test_every_tool_takes_the_weights_of_the_folder_given(moved, given, monkeypatch):
    few_images = partial(collect_confusion.annotated_loader, num_images=10)
    monkeypatch.setattr(collect_confusion, "annotated_loader", few_images)
    load_detector(str(moved / "config.yaml"))
    assert collect_confusion.write_statistics(moved / given).parent == moved


@pytest.mark.parametrize("tool", [collect_confusion, ranking_errors, visualize])
def test_every_tool_names_a_missing_run_and_missing_weights(moved, tool):
    with pytest.raises(SystemExit, match=r"no/run does not exist; give the train\.output_dir"):
        tool.main(["no/run"])
    with pytest.raises(SystemExit, match=r"--checkpoint no\.pth does not exist; give a \.pth"):
        tool.main([str(moved), "--checkpoint", "no.pth"])


def test_experiments_and_overrides_stay_as_they_are(tmp_path):
    assert load_run_config(Path(CONFIG)).train.output_dir == load_config(CONFIG).train.output_dir
    LazyConfig.save(smoke_config("before"), str(tmp_path / "config.yaml"))
    overrides = ["train.output_dir=chosen", "train.device=meta"]
    cfg = load_run_config(tmp_path / "config.yaml", overrides)
    assert (cfg.train.output_dir, cfg.train.device) == ("chosen", "meta")


def test_weights_can_be_chosen_and_may_be_missing(moved, tmp_path):
    final = moved / "model_final.pth"
    assert find_checkpoint(tmp_path, final) == str(final)
    with pytest.raises(FileNotFoundError, match=r"finish the training, or pass key=FILE\."):
        find_checkpoint(tmp_path, option="key=FILE")


def test_what_a_killed_run_left_half_written_is_said_and_left_out(tmp_path, caplog):
    assert read_metrics(tmp_path) == []
    whole = [{"iteration": 1, "lr": 0.5}, {"iteration": 3, "lr": 0.5}, {"iteration": 5, "lr": 0.5}]
    first, second, third = map(json.dumps, whole)
    # After a resume, the next line follows the half one; then the run was killed again.
    (tmp_path / "metrics.json").write_text(f"{first}\n{second[:9]}{second}\n{third}\n{first[:15]}")
    assert read_metrics(tmp_path) == [whole[0], whole[2]]
    assert [record.args[0] for record in caplog.records] == [2, 4]


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"bbox": {"AP": 1')
    with pytest.raises(ValueError, match=r"results\.json is no JSON .* delete it"):
        read_json(path)
