import errno
import json
import os
from argparse import Namespace

import pytest
from detectron2.config import LazyConfig
from detectron2.utils import comm
from support.smoke_run import smoke_config

from rankdet.engine.output_folder import (
    changed_settings,
    claimed_output_folder,
    delete_run,
    drop_later_metrics,
    ensure_space,
    explained_writing,
    holds_run,
    kept_config,
    prepare_output_folder,
)

RUN = ("model_0000003.pth", "model_final.pth", "last_checkpoint", "metrics.json", "results.json")
RUN += ("config.yaml", "log.txt", "log.txt.rank1", "events.out.tfevents.1", "non_finite.pth")
RUN += ("model_final.pth.partial", "calibration_glyphs_val.pth")


@pytest.fixture
def run(tmp_path):
    """A folder that holds a run, and a file of its user."""
    for name in (*RUN, "notes.txt", "model_of_mine.pth"):
        (tmp_path / name).write_text(name)
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference" / "predictions.json").write_text("[]")
    return tmp_path


def prepare(folder, **options):
    prepare_output_folder(folder, **{"resume": False, "overwrite": False, **options})


def test_new_folder_is_made(tmp_path):
    prepare(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("trace", ["last_checkpoint", "model_0000399.pth", "metrics.json"])
def test_fresh_start_is_refused_where_a_training_has_begun(tmp_path, trace):
    (tmp_path / trace).touch()
    with pytest.raises(ValueError, match=r"holds a run; go on .* --resume, .* --overwrite"):
        prepare(tmp_path)


@pytest.mark.parametrize("trace", ["config.yaml", "log.txt", "results.json"])
def test_training_that_did_not_begin_is_no_run(tmp_path, trace):
    (tmp_path / trace).touch()
    prepare(tmp_path)
    assert not holds_run(tmp_path)


def test_run_goes_on_in_its_folder(run):
    prepare(run, resume=True)
    assert {path.name for path in run.glob("*.*")} >= set(RUN[:-2]) - {"last_checkpoint"}
    assert not list(run.glob("*.partial"))


def test_overwriting_deletes_the_run_and_nothing_else(run):
    prepare(run, overwrite=True)
    assert {path.name for path in run.iterdir()} == {"notes.txt", "model_of_mine.pth"}
    delete_run(run)


def test_evaluation_of_other_weights_does_not_replace_the_results_of_a_run(run, tmp_path):
    with pytest.raises(ValueError, match=r"other.pth is not of it: .* give another train.output"):
        prepare(run, evaluates=True, weights=str(tmp_path / "elsewhere" / "other.pth"))
    prepare(run, evaluates=True, weights=str(run / "model_0000003.pth"))
    prepare(tmp_path / "new", evaluates=True, weights="other.pth")


def test_training_from_weights_of_the_folder_does_not_delete_them(run):
    weights = str(run / "model_final.pth")
    with pytest.raises(ValueError, match=r"--overwrite would delete train.init_checkpoint=.*final"):
        prepare(run, overwrite=True, weights=weights)
    with pytest.raises(ValueError, match=r"holds a run; go on"):
        prepare(run, weights=weights)
    assert (run / "model_final.pth").exists()


def test_evaluation_keeps_the_config_of_the_training(run):
    with kept_config(run):
        (run / "config.yaml").write_text("of the evaluation")
    assert (run / "config.yaml").read_text() == "config.yaml"


def test_evaluation_elsewhere_has_its_own_config(tmp_path):
    (tmp_path / "config.yaml").write_text("of an evaluation before")
    with kept_config(tmp_path):
        (tmp_path / "config.yaml").write_text("of the evaluation")
    assert (tmp_path / "config.yaml").read_text() == "of the evaluation"


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"file.* can't be written \(.*make room or give"):
            prepare(folder)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_written(tmp_path, monkeypatch, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number), f"{tmp_path}/writable")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(ValueError, match=rf"can't be written \({os.strerror(number)}: .*make room"):
        prepare(tmp_path)


def test_other_ranks_end_with_the_error_of_the_main_process(run, monkeypatch):
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    prepare(run)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", lambda own: [(ValueError, "of rank 0"), own])
    with pytest.raises(ValueError, match="of rank 0"):
        prepare(run)


def test_changed_settings_of_a_resumed_run_are_logged(tmp_path, caplog):
    cfg = smoke_config(tmp_path)
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    cfg.train.update(output_dir="b", max_iter=9)
    changes = changed_settings(cfg, tmp_path / "config.yaml")
    assert [line.replace(" ", "") for line in changes] == ["-max_iter:6", "+max_iter:9"]
    assert changed_settings(cfg, tmp_path / "nowhere.yaml") == []
    cfg.train.output_dir = str(tmp_path)
    args = Namespace(resume=True, overwrite=False, eval_only=False)
    with claimed_output_folder(cfg, args):
        LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    assert "The run goes on with other settings:\n-" in caplog.text
    caplog.clear()
    with claimed_output_folder(cfg, args):
        pass
    assert not caplog.text


def write_metrics(folder, *lines):
    (folder / "metrics.json").write_text("".join(f"{line}\n" for line in lines))


def read_metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_iterations_that_are_done_again_leave_the_metrics(tmp_path):
    write_metrics(tmp_path, *(json.dumps({"iteration": i}) for i in (1, 0, 3, 5)))
    drop_later_metrics(tmp_path, 3)
    assert read_metrics(tmp_path) == [{"iteration": 1}, {"iteration": 0}]


@pytest.mark.parametrize("damage", ['{"iteration": 2, "lo', "", "3", "[]", '{"loss": 1}', "\x00"])
def test_damaged_lines_leave_the_metrics(tmp_path, damage):
    write_metrics(tmp_path, '{"iteration": 1}', damage)
    drop_later_metrics(tmp_path, 9)
    assert read_metrics(tmp_path) == [{"iteration": 1}]


def test_metrics_that_stay_are_not_written_again(tmp_path):
    drop_later_metrics(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []
    write_metrics(tmp_path, '{"iteration": 1}')
    before = (tmp_path / "metrics.json").stat().st_ino
    drop_later_metrics(tmp_path, 3)
    assert (tmp_path / "metrics.json").stat().st_ino == before


def test_disk_without_room_for_a_checkpoint(tmp_path):
    ensure_space(tmp_path, 1)
    with pytest.raises(ValueError, match=r"has room for \d+ MB, but .* 1000000000000 MB or"):
        ensure_space(tmp_path, 10**18)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_failure_to_write_names_the_checkpoint_to_go_on_from(run, number):
    (run / "last_checkpoint").write_text("model_0000003.pth")
    with (
        pytest.raises(
            ValueError,
            match=r"can't be written any more \(.*\); make room, and go on from .*/model_0000003",
        ),
        explained_writing(run),
    ):
        raise OSError(number, os.strerror(number))


def test_failure_to_write_before_the_first_checkpoint(tmp_path):
    with (
        pytest.raises(ValueError, match=r"metrics.json\); make room, and start again"),
        explained_writing(tmp_path),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/metrics.json")


def test_failure_to_read_is_another_error(tmp_path):
    with pytest.raises(PermissionError), explained_writing(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "images/1.jpg")
