"""SGD as in the releases, with weight decay on everything; AdamW without it on norms and biases."""

from copy import deepcopy

from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from rankdet.engine.rate_factors import RateFactors

_OPTIM = model_zoo.get_config("common/optim.py")

SGD = _OPTIM.SGD
SGD.params.weight_decay_norm = None
AdamW = _OPTIM.AdamW
AdamW.update(lr=1e-3, weight_decay=0.01, fused=True)
AdamW.params.update(weight_decay_norm=0.0, weight_decay_bias=0.0)

# Transformer detectors: weight decay on everything, slow sampling offsets.
detr = deepcopy(AdamW)
detr.update(lr=2e-4, weight_decay=1e-4)
detr.params.update(
    weight_decay_norm=None,
    weight_decay_bias=None,
    base_lr="${..lr}",
    lr_factor_func=L(RateFactors)(factors={"sampling_offsets": 0.1}),
)
