import sys
from pathlib import Path

import pytest
from support.smoke_run import CONFIG, OVERRIDES

from rankdet.tools.compare import jobs, runs


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Plans runs of a training that takes no time."""
    fake = str(Path(__file__).with_name("fake_training.py"))
    monkeypatch.setattr(runs, "TRAIN", (sys.executable, fake))
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)

    def plan_seeds(*seeds, overrides=OVERRIDES):
        return runs.plan_runs([Path(CONFIG)], seeds, tmp_path, overrides)

    return plan_seeds
