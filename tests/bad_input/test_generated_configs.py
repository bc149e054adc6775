"""Garbage at every place of a config gives one sentence, or a config that can be built."""

import copy
from functools import cache

import torch
from detectron2.config import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from support.smoke_run import smoke_config
from torch import nn

from rankdet.engine.build import build, explained
from rankdet.engine.config_schema import check_config

GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**70, -0.5, 0.5, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["", " ", "abc", "7", "null", "a.b", "torch.nn.Linear", "${train.seed}", "ä"]),
    st.sampled_from([[], [1], ["a", None], {}, {"a": 1}, {"_target_": "torch.nn.Linear"}]),
    st.sampled_from([{"_target_": "no.where"}, {"_target_": 3}, {"_target_": "torch.ones"}]),
)
PARTS = ("optimizer", "lr_multiplier", "hooks", "dataloader.evaluator", "dataloader.test")


@cache
def experiment():
    """The smoke run's config, as plain containers of objects."""
    cfg = smoke_config("output/generated", 'dataloader.evaluator.tasks=["bbox"]')
    return OmegaConf.to_container(cfg, resolve=False)


def places(node, prefix=()):
    """The path of every section and leaf."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places(value, (*prefix, key))


def spoiled(place, value):
    content = copy.deepcopy(experiment())
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return DictConfig(content, flags={"allow_objects": True})


def build_parts(cfg):
    """All but the model, for one of two weights."""
    optimizer = cfg.optimizer.copy()
    optimizer.params.model = nn.Linear(1, 1)
    explained("optimizer", lambda: instantiate(optimizer))
    build(cfg, "lr_multiplier")
    for name in cfg.get("hooks", {}):
        build(cfg, f"hooks.{name}")
    build(cfg, "dataloader.evaluator")
    build(cfg, "dataloader.test")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_garbage_is_a_sentence_or_legal(data):
    chosen = [p for p in places(experiment()) if p[0] != "model"]
    place, value = data.draw(st.sampled_from(chosen)), data.draw(GARBAGE)
    cfg = spoiled(place, value)
    try:
        check_config(cfg)
        build_parts(cfg)
    except (ValueError, FileNotFoundError) as error:
        assert str(error) and "\n" not in str(error)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_garbage_in_a_model_is_a_sentence_or_legal(data):
    chosen = [p for p in places(experiment()) if p[0] == "model"]
    cfg = spoiled(data.draw(st.sampled_from(chosen)), data.draw(GARBAGE))
    try:
        check_config(cfg)
        with torch.device("meta"):
            build(cfg, "model")
    except (ValueError, FileNotFoundError) as error:
        assert str(error) and "\n" not in str(error)
