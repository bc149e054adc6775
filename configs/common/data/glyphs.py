"""The embedded data set; no flips, as mirrored glyphs are other classes."""

from detectron2.config import LazyCall as L
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)

import rankdet.data  # registers glyphs
from rankdet.evaluation.rankdet_evaluation import RankdetEvaluator

dataloader = dict(
    train=L(build_detection_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="glyphs_train"),
        mapper=L(DatasetMapper)(
            is_train=True, augmentations=[], image_format="RGB", use_instance_mask=True
        ),
        total_batch_size=8,
        num_workers=0,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="glyphs_val", filter_empty=False),
        mapper=L(DatasetMapper)(is_train=False, augmentations=[], image_format="RGB"),
        batch_size=16,
        num_workers=0,
    ),
    evaluator=L(RankdetEvaluator)(
        dataset_name="${..test.dataset.names}",
        output_dir="${train.output_dir}/inference",
        max_dets_per_image=300,
    ),
)
