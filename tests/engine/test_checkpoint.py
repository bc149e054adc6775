import pickle

import pytest
import torch
from torch import nn

from rankdet.engine.checkpoint import (
    NON_FINITE,
    Checkpointer,
    ensure_checkpoint,
    last_checkpoint,
)


def model(num_classes=3, **parts):
    return nn.ModuleDict({"cls_score": nn.Linear(2, num_classes), **parts})


def save(folder, saved, name="model_0000009"):
    Checkpointer(saved, str(folder)).save(name)
    return str(folder / f"{name}.pth")


def test_last_checkpoint_is_none_before_the_first(tmp_path):
    assert last_checkpoint(str(tmp_path)) is None


def test_last_checkpoint_names_the_newest(tmp_path):
    save(tmp_path, model())
    newest = save(tmp_path, model(), "model_0000019")
    assert last_checkpoint(str(tmp_path)) == newest


def test_non_finite_checkpoint_is_not_continued_from(tmp_path):
    regular = save(tmp_path, model())
    save(tmp_path, model(), NON_FINITE)
    assert (tmp_path / "non_finite.pth").exists()
    assert last_checkpoint(str(tmp_path)) == regular


def test_checkpoint_is_named_only_when_it_is_complete(tmp_path, monkeypatch):
    complete = save(tmp_path, model())

    def die(data, file):
        file.write(b"half of the file")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, model(), "model_0000019")
    assert last_checkpoint(str(tmp_path)) == complete


def test_name_is_replaced_in_one_step(tmp_path, monkeypatch):
    complete = save(tmp_path, model())

    def die(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, model(), "model_0000019")
    assert last_checkpoint(str(tmp_path)) == complete


def test_strict_load_restores_all_weights(tmp_path):
    saved, loaded = model(), model()
    Checkpointer(loaded).load_strictly(save(tmp_path, saved))
    assert torch.equal(saved["cls_score"].weight, loaded["cls_score"].weight)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (model(num_classes=4), r"cls_score.weight has shape \(3, 2\) in the checkpoint and \(4, 2"),
        (model(mask=nn.Linear(1, 1)), "it lacks mask.weight"),
        (nn.ModuleDict(), "the model has no cls_score"),
    ],
)
def test_strict_load_refuses_another_model(tmp_path, other, problem):
    path = save(tmp_path, model())
    with pytest.raises(ValueError, match=f"does not fit the model: {problem}.*use the config"):
        Checkpointer(other).load_strictly(path)


def test_plain_load_skips_what_does_not_fit(tmp_path):
    other = model(num_classes=4)
    before = other["cls_score"].weight.clone()
    Checkpointer(other).load(save(tmp_path, model()))
    assert torch.equal(other["cls_score"].weight, before)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"hello", b"PK\x03\x04 truncated"])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model.pth is no checkpoint, or damaged"):
        Checkpointer(model()).load_strictly(str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.pkl", b"no pickle"), ("model.pkl", pickle.dumps([1])), ("model.pth", None)],
)
def test_file_of_another_kind_is_named(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is no checkpoint, or damaged"):
        Checkpointer(model()).load_strictly(str(path))


@pytest.mark.parametrize("size", [500, 20_000])
def test_truncated_checkpoint_is_named(tmp_path, size):
    path = save(tmp_path, nn.Linear(100, 100))
    with open(path, "r+b") as file:
        file.truncate(size)
    with pytest.raises(ValueError, match=r"is no checkpoint, or damaged"):
        Checkpointer(model()).load_strictly(path)


def test_missing_weights_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights to load; set train.init_checkpoint"):
        ensure_checkpoint("")
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth' does not exist; set train.init"):
        ensure_checkpoint(str(tmp_path / "nowhere.pth"))
