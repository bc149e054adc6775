"""A short training of the demo's experiment, its end, and what it leaves."""

import json

import torch
from detectron2.utils.env import seed_all_rng
from support.smoke_run import AtIteration, smoke_config

from rankdet.engine.training import build_trainer

NUM_ITERATIONS = 6
CHECKPOINT_AFTER = 3
KILLED_AT = 5
RATIO_FROZEN_AFTER = 4
TASKS = {f"{task}{suffix}" for task in ("bbox", "segm") for suffix in ("", "_lrp")}


class KilledError(Exception):
    """Stands for the end of the process."""


def kill(trainer):
    raise KilledError


def config(folder, *overrides):
    frozen = f"hooks.background_ratio.num_iterations={RATIO_FROZEN_AFTER}"
    return smoke_config(folder, frozen, *overrides)


def run(cfg, *, kill_at=None):
    """Train from random weights, which ``default_setup`` seeds in train_net.py."""
    seed_all_rng(cfg.train.seed)
    trainer = build_trainer(cfg)
    trainer.register_hooks([AtIteration(kill_at, kill)])
    trainer.train(trainer.start_iter, cfg.train.max_iter)


def final_state(folder):
    return torch.load(folder / "model_final.pth")


def assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_equal(*pair)
    else:
        assert found == expected


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
