"""Repeat factor sampling with LVIS's threshold of 1e-3: ``dataloader.train.sampler = sampler``.

``sampler`` is Detectron2's, which rounds at random; ``mmdetection_sampler`` rounds up, as the
releases on LVIS do.
"""

from detectron2.config import LazyCall as L
from detectron2.data.samplers import RepeatFactorTrainingSampler

from rankdet.data.repeat_factors import whole_repeat_factors

_OPTIONS = dict(dataset_dicts="${dataloader.train.dataset}", repeat_thresh=1e-3)

sampler = L(RepeatFactorTrainingSampler)(
    repeat_factors=L(RepeatFactorTrainingSampler.repeat_factors_from_category_frequency)(**_OPTIONS)
)
mmdetection_sampler = L(RepeatFactorTrainingSampler)(
    repeat_factors=L(whole_repeat_factors)(**_OPTIONS)
)
