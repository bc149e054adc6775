"""What the released detectors have in their backbones and Detectron2 lacks."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F  # noqa: N812
from detectron2.modeling.backbone.backbone import Backbone
from detectron2.modeling.backbone.fpn import FPN
from detectron2.modeling.backbone.swin import SwinTransformer, SwinTransformerBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth


class FixedStatisticsBatchNorm2d(nn.BatchNorm2d):
    """Normalize channels by stored statistics that never move; weight and bias are trained.

    Detectron2's FrozenBN fixes weight and bias, too, its BN moves the statistics. This one is the
    norm of mmdetection's ResNets (``norm_eval=True``), and so of all releases. It computes the same
    in training and evaluation. The names of its weights are those of ``torch.nn.BatchNorm2d``.
    Detectron2's optimizers know it as a norm; a frozen stage of a ResNet makes it FrozenBN.
    """

    @classmethod
    def with_eps(cls, eps: float) -> Callable[[int], "FixedStatisticsBatchNorm2d"]:
        """Give a constructor (channels) for a ``norm`` argument of Detectron2.

        Args:
            eps: added to the variance; torchvision's ResNets have 1e-5.
        """
        return lambda channels: cls(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class StochasticDepthSwin(SwinTransformer):
    """Detectron2's Swin Transformer with stochastic depth that needs no other package.

    Detectron2 takes it from ``timm``. The rate grows linearly from 0 in the first block to its
    full value in the last, as in Liu et al., Swin Transformer, 2021. A block that is dropped in
    training passes its input on, per image and branch.

    Args:
        embed_dim: channels of the first stage; each further stage has twice as many.
        depths: blocks of each stage.
        num_heads: heads of attention of each stage.
        window_size: of attention, in tokens.
        drop_path_rate: probability that the last block is dropped, at least 0 and below 1.
        out_indices: stages to give out, from 0, as ``p0`` to ``p3`` of strides 4 to 32.
        checkpoints: in training, keep the input of each block only and compute the rest once more
            for the gradients: less memory for more time.

    Raises:
        ValueError: ``drop_path_rate`` is no such probability.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int = 7,
        drop_path_rate: float = 0.2,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        checkpoints: bool = False,
    ) -> None:
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f"drop_path_rate is {drop_path_rate}; give one from 0 to below 1.")
        super().__init__(
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            drop_path_rate=0.0,
            out_indices=out_indices,
        )
        blocks = [block for layer in self.layers for block in layer.blocks]
        for number, block in enumerate(blocks):
            rate = drop_path_rate * number / max(len(blocks) - 1, 1)
            block.drop_path = StochasticDepth(rate, mode="row")
            if checkpoints:
                block.__class__ = _CheckpointedBlock

    @property
    def size_divisibility(self) -> int:
        """None is asked for: each stage pads its windows by itself. Detectron2's raises here."""
        return 0


class _CheckpointedBlock(SwinTransformerBlock):
    """Detectron2's option has the same purpose, by the old kind that warns."""

    def forward(self, x: Tensor, mask_matrix: Tensor) -> Any:
        """``(N, H W, C)`` to the same shape."""
        return checkpoint(super().forward, x, mask_matrix, use_reentrant=False)


class XavierFPN(FPN):
    """Detectron2's FPN whose weights start as in mmdetection: uniform ones of Glorot and Bengio.

    Their size goes by the mean of a layer's inputs and outputs, in Detectron2 by the inputs alone.
    So the layers behind the last stage of a ResNet start 4/3 as large as there; those from 256 to
    256 channels start alike.

    Args:
        bottom_up: the backbone.
        in_features: names of the feature maps that it takes, finest first.
        out_channels: of all levels.
        norm: of all convolutions but the extra levels'; empty: none.
        top_block: extra levels, as in Detectron2.
    """

    def __init__(
        self,
        *,
        bottom_up: Backbone,
        in_features: list[str],
        out_channels: int,
        norm: str | Callable[[int], nn.Module] = "",
        top_block: nn.Module | None = None,
    ) -> None:
        super().__init__(bottom_up, in_features, out_channels, norm, top_block)
        extra = top_block.children() if top_block else []
        for layer in (*self.lateral_convs, *self.output_convs, *extra):
            nn.init.xavier_uniform_(layer.weight)
