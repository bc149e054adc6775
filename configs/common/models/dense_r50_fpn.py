"""The size of Detectron2's RetinaNet and FCOS: ResNet-50 and the FPN levels p3 to p7.

Settings are COCO's: 80 classes, 100 detections. The ResNet is Detectron2's: weights of MSRA, stem
and first stage frozen, fixed affine parameters of its norms.
"""

from detectron2.layers import ShapeSpec


def use_r50_fpn(model, published):
    """Give a detector for small images, in place, backbone, levels and widths of ``published``."""
    strides = [8, 16, 32, 64, 128]
    model.backbone = published.backbone
    model.backbone.bottom_up.freeze_at = 2
    model.head_in_features = published.head_in_features
    model.anchor_generator.update(sizes=[[8 * stride] for stride in strides], strides=strides)
    model.head.update(
        input_shape=[ShapeSpec(channels=256, stride=stride) for stride in strides],
        conv_dims=[256] * 4,
    )
    model.update(
        num_classes=80,
        pixel_mean=published.pixel_mean,
        pixel_std=published.pixel_std,
        test_score_thresh=0.05,
        max_detections_per_image=100,
    )
