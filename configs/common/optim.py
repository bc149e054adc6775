"""AdamW without weight decay on vectors (norms and biases)."""

from detectron2 import model_zoo

_OPTIM = model_zoo.get_config("common/optim.py")

SGD = _OPTIM.SGD
AdamW = _OPTIM.AdamW
AdamW.update(lr=1e-3, weight_decay=0.01, fused=True)
AdamW.params.update(weight_decay_norm=0.0, weight_decay_bias=0.0)
