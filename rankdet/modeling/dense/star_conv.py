"""Convolution that reads a feature map at nine points of a box.

Letters: I images, H x W locations of a level.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class StarConv2d(nn.Conv2d):
    """3 x 3 deformable convolution without bias that samples the star points of given boxes.

    It equals ``torchvision.ops.deform_conv2d`` at these points. ``grid_sample`` and a 1 x 1
    convolution work under autocast on CPUs, too, and their forward and backward pass is 2 to 15
    times as fast there (one thread; 256 channels at 100 x 152: 2 to 3; 64 at 16 x 16: 11 to 15);
    the price is nine feature maps kept for the backward pass.

    Source: Zhang et al., VarifocalNet, CVPR 2021, section 3.2. Weights start as those of MMCV's
    deformable convolution: uniform, with the variance 2 / (9 in_channels) of Kaiming.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, bias=False)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, feature: Tensor, points: Tensor) -> Tensor:  # type: ignore[override]
        """Sample bilinearly, 0 outside, and convolve.

        Args:
            feature: ``(I, in_channels, H, W)``.
            points: ``(I, 9, H, W, 2)``, see :func:`star_points`.

        Returns:
            ``(I, out_channels, H, W)``.
        """
        height, width = feature.shape[-2:]
        x, y = points.unbind(-1)
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        samples = F.grid_sample(feature.to(grid.dtype), grid.flatten(1, 2), align_corners=False)
        samples = samples.reshape(-1, 9 * self.in_channels, height, width)
        return F.conv2d(samples, self.weight.flatten(1)[:, :, None, None])


def star_points(distances: Tensor) -> Tensor:
    """Nine points of each location's box: the location, the nearest ones on the sides, the corners.

    Args:
        distances: ``(I, 4, H, W)`` from the location to the left, top, right and bottom side, in
            cells of the feature map.

    Returns:
        ``(I, 9, H, W, 2)`` x and y in cells, (0, 0) being the first location; row by row from the
        upper left corner.
    """
    left, top, right, bottom = distances.unbind(1)
    height, width = left.shape[1:]
    x = torch.arange(width, device=left.device, dtype=left.dtype).expand_as(left)
    y = torch.arange(height, device=left.device, dtype=left.dtype)[:, None].expand_as(left)
    xs = torch.stack([x - left, x, x + right], dim=1).unsqueeze(1)
    ys = torch.stack([y - top, y, y + bottom], dim=1).unsqueeze(2)
    return torch.stack(torch.broadcast_tensors(xs, ys), dim=-1).flatten(1, 2)
