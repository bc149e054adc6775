"""A transformer detector that is resumed is the one that was never interrupted."""

import pytest
from support.smoke_run import ONE_STAGE_OVERRIDES, ROOT
from support.training_runs import KILLED_AT, KilledError, assert_equal, final_state, run

from rankdet.engine.config import load_config
from rankdet.engine.training import train


def config(name, folder):
    path = ROOT / f"configs/glyphs/{name}.py"
    return load_config(str(path), [*ONE_STAGE_OVERRIDES, f"train.output_dir={folder}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deformable_detr_r18_rs", "rs_detr_r18"])
def test_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, name):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run(config(name, whole))
    with pytest.raises(KilledError):
        run(config(name, resumed), kill_at=KILLED_AT)
    train(config(name, resumed), resume=True)
    assert_equal(final_state(resumed), final_state(whole))
