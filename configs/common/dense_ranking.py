"""What ranking losses change in ATSS and PAA: ``use_ranking(model, rank_sort)``.

As in the releases of RS and BRS: three sizes of square anchors per location instead of one of 8
strides, and no centerness or predicted IoU; the learning rate is 0.008. RS and BRS balance the box
loss by themselves. AP and BAP have weights, on ATSS delta 1 and box weight 2, on PAA 0.5 and 1, as
released; there, as here, AP interpolates precision and BAP does not. ATSS's candidates are still 9
per level, whatever the number of anchors per location.
"""

from detectron2.modeling.meta_arch.retinanet import RetinaNetHead


def use_ranking(model, loss):
    """Give ATSS or PAA, in place, the anchors and the head without a third output."""
    sizes = [
        [4 * stride * 2 ** (octave / 3) for octave in range(3)]
        for stride in model.anchor_generator.strides
    ]
    model.anchor_generator.sizes = sizes
    model.head.update(_target_=RetinaNetHead, num_anchors=3)
    model.update(loss=loss, quality=None)
