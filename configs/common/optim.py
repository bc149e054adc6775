"""SGD as in the releases, with weight decay on everything; AdamW without it on norms and biases."""

from detectron2 import model_zoo

_OPTIM = model_zoo.get_config("common/optim.py")

SGD = _OPTIM.SGD
SGD.params.weight_decay_norm = None
AdamW = _OPTIM.AdamW
AdamW.update(lr=1e-3, weight_decay=0.01, fused=True)
AdamW.params.update(weight_decay_norm=0.0, weight_decay_bias=0.0)
