"""ImageNet weights to start from, downloaded once: ``train.update(**r50)``.

``r50`` and ``r101`` are torchvision's (IMAGENET1K_V1), which all releases start from, the ResNeXt
is mmdetection's, Swin Transformers are Microsoft's, the large one from ImageNet-22K at 384 pixels.
rankdet reads these files as they are; none of them could be fetched where this was written. Where
the sites can't be reached, fetch a file in another way and give its path. Detectron2 serves one of
torchvision's only, ``detectron2://ImageNetPretrained/torchvision/R-50.pkl``.
"""

_TORCHVISION = "https://download.pytorch.org/models"
_MMDETECTION = "https://download.openmmlab.com/pretrain/third_party"
_SWIN = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0"

r50 = dict(init_checkpoint=f"{_TORCHVISION}/resnet50-0676ba61.pth")
r101 = dict(init_checkpoint=f"{_TORCHVISION}/resnet101-63fe2227.pth")
x101_64x4d = dict(init_checkpoint=f"{_MMDETECTION}/resnext101_64x4d-ee2c6f71.pth")
swin_tiny = dict(init_checkpoint=f"{_SWIN}/swin_tiny_patch4_window7_224.pth")
swin_small = dict(init_checkpoint=f"{_SWIN}/swin_small_patch4_window7_224.pth")
swin_base = dict(init_checkpoint=f"{_SWIN}/swin_base_patch4_window7_224.pth")
swin_large = dict(init_checkpoint=f"{_SWIN}/swin_large_patch4_window12_384_22k.pth")
