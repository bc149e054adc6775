"""Weights to start from, to evaluate or to go on with."""

import pytest
import torch
from bad_input.case import Case, table
from support.smoke_run import smoke_config
from torch import nn

from rankdet.engine import training as engine
from rankdet.engine.checkpoint import Checkpointer, ensure_checkpoint
from rankdet.engine.training import build_trainer, evaluate_checkpoint

GONE = "can't be downloaded"
PATH_CASES = [
    Case("nothing", "", "there are no weights to load; set train.init_checkpoint=FILE"),
    Case("no such file", "nowhere.pth", "'nowhere.pth' does not exist; set train.init_checkpoint"),
    Case("host that refuses", "http://localhost:9/x.pkl", f"x.pkl' {GONE}"),
    Case("host that is unknown", "https://nowhere.invalid/x.pth", f"x.pth' {GONE}"),
    Case("port that is none", "http://localhost:x/y.pth", GONE),
    Case("no such model of Detectron2", "detectron2://nonsense", GONE),
    Case("no such model of the catalog", "catalog://nonsense", GONE),
    Case("no such ImageNet model", "catalog://ImageNetPretrained/none", GONE),
    Case("unknown protocol", "foo://x.pth", "does not exist|can't be downloaded"),
    Case("no protocol", "://x.pth", "does not exist|can't be downloaded"),
    Case("file that is gone", "file:///nowhere.pth", "does not exist|can't be downloaded"),
    Case("name with a null", "a\0b.pth", "does not exist|can't be"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(proxy, raising=False)


@table(PATH_CASES)
def test_path(case):
    with pytest.raises(FileNotFoundError, match=case.sentence) as error:
        ensure_checkpoint(case.bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["nowhere.pth", "http://localhost:9/x.pkl"])
def test_training_and_evaluation_miss_weights_before_anything_is_built(tmp_path, monkeypatch, path):
    monkeypatch.setattr(engine, "build_model", None)
    cfg = smoke_config(tmp_path)
    cfg.train.init_checkpoint = path
    for start in (build_trainer, evaluate_checkpoint):
        with pytest.raises(FileNotFoundError, match="the checkpoint"):
            start(cfg)


def folder(path):
    path.mkdir()


DAMAGED = r"is no checkpoint, or damaged \("
FILE_CASES = [
    Case("folder", folder, "does not exist; set train.init_checkpoint to a file"),
    Case("empty", lambda path: path.touch(), DAMAGED),
    Case("text", lambda path: path.write_text("weights"), DAMAGED),
    Case("zip of something else", lambda path: path.write_bytes(b"PK\x03\x04" * 9), DAMAGED),
    Case("tensor alone", lambda path: torch.save(torch.ones(1), path), DAMAGED),
    Case("list", lambda path: torch.save([1], path), DAMAGED),
    Case("number", lambda path: torch.save(3, path), DAMAGED),
    Case("model of numbers", lambda path: torch.save({"model": {"weight": 3}}, path), DAMAGED),
    Case("model that is a list", lambda path: torch.save({"model": [1]}, path), DAMAGED),
    Case("whole module", lambda path: torch.save(nn.Linear(2, 2), path), DAMAGED),
    Case(
        "other shape",
        lambda path: torch.save({"model": nn.Linear(2, 3).state_dict()}, path),
        "does not fit the model: weight has shape",
    ),
    Case(
        "other names",
        lambda path: torch.save({"model": {"w": torch.ones(1)}}, path),
        "does not fit the model: it lacks",
    ),
    Case(
        "more than the model",
        lambda path: torch.save(
            {"model": {**nn.Linear(2, 2).state_dict(), "w": torch.ones(1)}}, path
        ),
        "does not fit the model: the model has no w",
    ),
    Case("nothing in it", lambda path: torch.save({"model": {}}, path), "it lacks"),
]


@table(FILE_CASES)
def test_file(tmp_path, case):
    path = tmp_path / "model.pth"
    case.bad(path)
    with pytest.raises((ValueError, FileNotFoundError), match=case.sentence) as error:
        Checkpointer(nn.Linear(2, 2)).load_strictly(str(path))
    assert "\n" not in str(error.value)
