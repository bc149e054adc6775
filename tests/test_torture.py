"""The short form of ``make torture``: some of its kills, by the same code."""

import pytest
import torch
from torture.hurts import STAGES, killed_in_write
from torture.trials import Torture


@pytest.fixture(scope="module")
def torture(tmp_path_factory):
    torch.set_num_threads(1)  # The trainings are forked, and one thread adds as the next one does.
    return Torture(tmp_path_factory.mktemp("torture"), seed=0)


@pytest.mark.slow
def test_kill_at_a_random_moment(torture):
    torture.whole()
    training = torture.new("random", num_workers=2)
    while not torture.kill_at_random(training):
        training = torture.new("random", num_workers=2)
    torture.finish(training, "at a random moment")
    assert torture.promises.are_kept


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "write"), [(STAGES[0], 9), (STAGES[2], 5)])
def test_kill_inside_a_write(torture, stage, write):
    training = torture.new("write", num_workers=1)
    status = training.run(killed_in_write(stage, write, 0.5))
    assert torture.was_killed(training, status, stage)
    torture.finish(training, "inside a write")
    assert torture.promises.are_kept


@pytest.mark.slow
def test_stale_folder(torture):
    torture.stale_folders()
    assert torture.promises.are_kept
