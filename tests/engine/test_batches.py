import random
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from omegaconf import OmegaConf
from torch.utils.data import IterableDataset, RandomSampler, SequentialSampler

import rankdet.engine.batches as batches_module
from rankdet.engine.batches import training_batches

NUM_IMAGES = 7


def numbered_images():
    """Wide and high ones in turn, in pairs."""
    return [
        {"image_id": index, "width": 8 + index // 2 % 2, "height": 8} for index in range(NUM_IMAGES)
    ]


def mapper(image):
    """Keep an image, with numbers as random augmentations draw them."""
    return {**image, "drawn": (torch.rand(()).item(), np.random.rand(), random.random())}


def config(**options):
    defaults = {"dataset": L(numbered_images)(), "mapper": mapper, "total_batch_size": 2}
    return OmegaConf.create(
        L(build_detection_train_loader)(**{**defaults, **options}), flags={"allow_objects": True}
    )


def draw(cfg, start_iter, num_batches, seed=0):
    """Ids of the images of each batch, random numbers drawn while it is trained on, augmentations.

    :func:`mapper` draws the last."""
    batches = islice(training_batches(cfg, seed, start_iter), num_batches)
    return [
        (
            *([x["image_id"] for x in batch], torch.rand(()).item()),
            *(np.random.rand(), random.random(), [x["drawn"] for x in batch]),
        )
        for batch in batches
    ]


@pytest.mark.parametrize("aspect_ratio_grouping", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1, 2, 4])
def test_resumed_stream_is_the_rest_of_the_whole_one(aspect_ratio_grouping, num_workers):
    whole = draw(config(aspect_ratio_grouping=aspect_ratio_grouping), 0, 12)
    cfg = config(aspect_ratio_grouping=aspect_ratio_grouping, num_workers=num_workers)
    for start_iter in (0, 5, 6):
        assert draw(cfg, start_iter, 12 - start_iter) == whole[start_iter:]


def detectron2_order(cfg, num_batches):
    seed_all_rng(batches_module._mix(0))
    return [[x["image_id"] for x in batch] for batch in islice(instantiate(cfg), num_batches)]


@pytest.mark.parametrize("aspect_ratio_grouping", [False, True])
def test_order_is_that_of_one_worker_of_detectron2(aspect_ratio_grouping):
    cfg = config(aspect_ratio_grouping=aspect_ratio_grouping)
    assert [ids for ids, *_ in draw(cfg, 0, 30)] == detectron2_order(cfg, 30)


def test_batches_are_of_wide_images_or_of_others():
    widths = [{x["width"] for x in batch} for batch in islice(training_batches(config(), 0, 0), 30)]
    assert {8} in widths and {9} in widths
    assert all(len(of_batch) == 1 for of_batch in widths)


@pytest.mark.parametrize(("drop_last", "expected"), [(True, [2, 2]), (False, [2, 2, 1])])
def test_end_of_a_sampler_that_ends(drop_last, expected):
    cfg = config(
        sampler=L(SequentialSampler)(data_source=range(5)),
        aspect_ratio_grouping=False,
        drop_last=drop_last,
    )
    assert [len(batch) for batch in training_batches(cfg, 0, 0)] == expected


def test_sampler_that_draws_its_seed_when_it_starts():
    cfg = config(sampler=L(RandomSampler)(data_source=range(NUM_IMAGES)), total_batch_size=1)
    whole = draw(cfg, 0, 7)
    assert sorted(i for ids, *_ in whole for i in ids) == [*range(NUM_IMAGES)]
    assert draw(cfg, 3, 4) == whole[3:]


def refuse_most(image):
    return mapper(image) if image["image_id"] < 2 else None


def test_images_that_the_mapper_refuses_are_replaced_by_the_same_others():
    cfg = config(mapper=refuse_most, aspect_ratio_grouping=False)
    whole = draw(cfg, 0, 12)
    assert {i for ids, *_ in whole for i in ids} == {0, 1}
    assert draw(cfg, 5, 7) == whole[5:]


def test_mapper_that_refuses_every_image_is_an_error():
    with pytest.raises(ValueError, match="mapper gives None for 100 images in a row"):
        draw(config(mapper=lambda image: None), 0, 1)


def test_batch_that_the_ranks_cannot_share(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"total_batch_size=3 can't be shared among 2 processes"):
        training_batches(config(total_batch_size=3), 0, 0)


def test_images_without_a_size_cannot_be_grouped():
    cfg = config(dataset=[{"image_id": 0}])
    with pytest.raises(ValueError, match="has no width or height, by which aspect_ratio_grouping"):
        training_batches(cfg, 0, 0)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(numbered_images())


def test_data_set_without_indices_cannot_be_resumed():
    with pytest.raises(ValueError, match=r"no indices \(IterableDataset\).* a loader of your own"):
        training_batches(config(dataset=L(Stream)()), 0, 0)


def own_loader():
    return [[{"image_id": 0, "drawn": 0}]]


def test_other_loader_starts_from_its_first_batch_and_says_so(caplog):
    cfg = OmegaConf.create(L(own_loader)(), flags={"allow_objects": True})
    assert len(draw(cfg, 0, 1)) == 1 and not caplog.text
    assert draw(cfg, 7, 1)[0][0] == [0]
    assert "the resumed run gets its batches from the first one on" in caplog.text


def test_resumed_stream_with_repeat_factor_sampling():
    factors = torch.linspace(1, 2.5, NUM_IMAGES)
    cfg = config(sampler=L(RepeatFactorTrainingSampler)(repeat_factors=factors))
    assert draw(cfg, 6, 6) == draw(cfg, 0, 12)[6:]


def test_every_image_once_per_epoch():
    cfg = config(aspect_ratio_grouping=False)
    ids = [i for batch, *_ in draw(cfg, 0, NUM_IMAGES) for i in batch]
    assert sorted(ids) == sorted([*range(NUM_IMAGES)] * 2)


def test_seed_changes_order_and_random_numbers():
    first, second = draw(config(), 0, 4, seed=0), draw(config(), 0, 4, seed=1)
    assert [x[0] for x in first] != [x[0] for x in second]
    assert not {x[1] for x in first} & {x[1] for x in second}


def test_iterations_draw_different_numbers():
    assert len({x[1] for x in draw(config(), 0, 10)}) == 10


def test_ranks_share_images_and_draw_different_numbers(monkeypatch):
    cfg = config(total_batch_size=4, aspect_ratio_grouping=False)
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
