"""From the maps of a backbone to those of the encoder.

Letters: B images, D channels, L levels.
"""

from torch import Tensor, nn


class ChannelMapper(nn.Module):
    """Gives the backbone's maps one width, and makes coarser ones.

    A map goes through a 1 x 1 convolution, a further level through a 3 x 3 one of stride 2; group
    normalization follows each. The first further level is made of the last map of the backbone, not
    of what became of it, the next ones of the level before.

    Normalization and the 3 x 3 convolutions see the padding of a batch, as released: a map depends
    a little on the size of the batch.

    Source: Deformable DETR, and the ``ChannelMapper`` of Co-DETR's release.

    Args:
        in_features: names of the backbone's maps, finest first.
        in_channels: their channels.
        num_channels: D.
        num_levels: L, at least as many as maps.
        num_groups: of the normalization.

    Raises:
        ValueError: the numbers do not fit.
    """

    def __init__(
        self,
        *,
        in_features: list[str],
        in_channels: list[int],
        num_channels: int,
        num_levels: int,
        num_groups: int = 32,
    ) -> None:
        super().__init__()
        _check(in_features, in_channels, num_channels, num_levels, num_groups)
        self.in_features = in_features
        num_extra = num_levels - len(in_features)
        extra_channels = [in_channels[-1], *[num_channels] * num_extra][:num_extra]
        self.convs = nn.ModuleList(
            _mapper(nn.Conv2d(channels, num_channels, 1, bias=False), num_groups)
            for channels in in_channels
        )
        self.extra_convs = nn.ModuleList(
            downsampler(channels, num_channels, num_groups, bias=False)
            for channels in extra_channels
        )

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        """L maps ``(B, D, H, W)`` of the backbone's.

        Raises:
            ValueError: the backbone does not give a map.
        """
        missing = [name for name in self.in_features if name not in features]
        if missing:
            raise ValueError(
                f"in_features names {', '.join(missing)}, but the backbone gives "
                f"{', '.join(features)}; take names of those."
            )
        inputs = [features[name] for name in self.in_features]
        maps = [conv(x) for conv, x in zip(self.convs, inputs, strict=True)]
        last = inputs[-1]
        for conv in self.extra_convs:
            last = conv(last)
            maps.append(last)
        return maps


def downsampler(
    in_channels: int, num_channels: int, num_groups: int, *, bias: bool
) -> nn.Sequential:
    """A level of half the size: convolution and group normalization.

    Args:
        in_channels: of the map.
        num_channels: of the new one.
        num_groups: of the normalization.
        bias: whether the convolution has one.
    """
    conv = nn.Conv2d(in_channels, num_channels, 3, stride=2, padding=1, bias=bias)
    return _mapper(conv, num_groups)


def _mapper(conv: nn.Conv2d, num_groups: int) -> nn.Sequential:
    nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.GroupNorm(num_groups, conv.out_channels))


def _check(
    in_features: list[str],
    in_channels: list[int],
    num_channels: int,
    num_levels: int,
    num_groups: int,
) -> None:
    if len(in_features) != len(in_channels) or not in_features:
        raise ValueError(
            f"in_features has {len(in_features)} names and in_channels {len(in_channels)} numbers; "
            "give as many of each, at least one."
        )
    if num_levels < len(in_features):
        raise ValueError(
            f"num_levels is {num_levels}, but there are {len(in_features)} in_features already; "
            "give at least as many levels."
        )
    if num_groups < 1 or num_channels % num_groups:
        raise ValueError(
            f"num_groups is {num_groups} and num_channels {num_channels}; give a positive number "
            "of groups that divides the channels."
        )
