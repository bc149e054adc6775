"""Co-DETR R50, ECM with focal weights in the decoder, 12 epochs of LVIS v1; see co_detr_r50.

So for matched queries and those of the heads. The heads themselves keep focal loss (ATSS) and
softmax (Faster R-CNN); the encoder and the RPN know no classes.
"""

from ..common.losses import ecm_surrogate
from .co_detr_r50 import dataloader, hooks, lr_multiplier, model, optimizer, train

model.loss.loss.surrogate = ecm_surrogate
train.output_dir = "output/lvis_v1/co_detr_r50_ecm"
