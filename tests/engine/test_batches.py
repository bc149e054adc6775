import random
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils import comm
from omegaconf import OmegaConf

from rankdet.engine.batches import training_batches

NUM_IMAGES = 7


def numbered_images():
    return [{"image_id": index, "width": 8, "height": 8} for index in range(NUM_IMAGES)]


def mapper(image):
    return image


def config(**options):
    defaults = {"dataset": L(numbered_images)(), "mapper": mapper, "total_batch_size": 2}
    return OmegaConf.create(
        L(build_detection_train_loader)(**{**defaults, **options}), flags={"allow_objects": True}
    )


def draw(cfg, start_iter, num_batches, seed=0):
    """Ids of the images of each batch, and random numbers drawn while it is being trained on."""
    batches = islice(training_batches(cfg, seed, start_iter), num_batches)
    return [
        ([x["image_id"] for x in batch], torch.rand(()).item(), np.random.rand(), random.random())
        for batch in batches
    ]


@pytest.mark.parametrize("aspect_ratio_grouping", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_resumed_stream_is_the_rest_of_the_whole_one(aspect_ratio_grouping, num_workers):
    cfg = config(aspect_ratio_grouping=aspect_ratio_grouping, num_workers=num_workers)
    whole = draw(cfg, 0, 12)
    assert draw(cfg, 5, 7) == whole[5:]


def test_resumed_stream_with_repeat_factor_sampling():
    factors = torch.linspace(1, 2.5, NUM_IMAGES)
    cfg = config(sampler=L(RepeatFactorTrainingSampler)(repeat_factors=factors))
    assert draw(cfg, 6, 6) == draw(cfg, 0, 12)[6:]


def test_every_image_once_per_epoch():
    ids = [i for batch, *_ in draw(config(), 0, NUM_IMAGES) for i in batch]
    assert sorted(ids) == sorted([*range(NUM_IMAGES)] * 2)


def test_seed_changes_order_and_random_numbers():
    first, second = draw(config(), 0, 4, seed=0), draw(config(), 0, 4, seed=1)
    assert [x[0] for x in first] != [x[0] for x in second]
    assert not {x[1] for x in first} & {x[1] for x in second}


def test_iterations_draw_different_numbers():
    assert len({x[1] for x in draw(config(), 0, 10)}) == 10


def test_ranks_share_images_and_draw_different_numbers(monkeypatch):
    cfg = config(total_batch_size=4)
    whole = draw(cfg, 0, 6)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: 2)
    ranks = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(comm, "all_gather", lambda x: [x])
        ranks.append(draw(cfg, 0, 6))
        assert draw(cfg, 2, 4) == ranks[rank][2:]
    for (all_ids, *_), (ids_0, drawn_0, *_), (ids_1, drawn_1, *_) in zip(
        whole, *ranks, strict=True
    ):
        assert all_ids == [ids_0[0], ids_1[0], ids_0[1], ids_1[1]]
        assert drawn_0 != drawn_1
