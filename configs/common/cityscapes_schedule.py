"""12 epochs of eight passes over the 2,965 annotated training images of Cityscapes, batch 16.

The rate drops after 8, as the released config of BRS asks for; its 12 epochs are a key that its
mmdetection does not read, so that the release may have ended after 8, without the drop.
"""

from math import ceil

from rankdet.model_zoo.recipes import steps

_ITERATIONS_PER_EPOCH = ceil(8 * 2965 / 16)

schedule = dict(max_iter=12 * _ITERATIONS_PER_EPOCH)
lr_multiplier = steps([8, 12], _ITERATIONS_PER_EPOCH, 500)
