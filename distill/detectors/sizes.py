"""The sizes that PaddleDetection's configurations name, and the necks that are the same in all of them."""

from __future__ import annotations

PICODET_STRIDES = (8, 16, 32, 64)
PPYOLOE_STRIDES = (8, 16, 32)
#: Channels of PP-YOLOE's neck at width 1, largest stride first, as PaddleDetection orders it.
PPYOLOE_NECK = (768, 384, 192)
#: PicoDet by backbone and size: scale of the backbone, channels of neck and head, convolutions in the head.
PICODET_SIZES: dict[tuple[str, str], tuple[float, int, int]] = {
    ("lcnet", "xs"): (0.35, 96, 2),
    ("lcnet", "s"): (0.75, 96, 2),
    ("lcnet", "m"): (1.5, 128, 4),
    ("lcnet", "l"): (2.0, 160, 4),
    ("esnet", "s"): (0.75, 96, 2),
    ("esnet", "m"): (1.0, 128, 4),
    ("esnet", "l"): (1.25, 160, 4),
}
_LARGER_ESNET = (0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75)
#: ESNet's channels inside its thirteen blocks, as a share of those between them.
ESNET_RATIOS: dict[str, tuple[float, ...]] = {
    "s": (0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
    "m": _LARGER_ESNET,
    "l": _LARGER_ESNET,
}
#: PP-YOLOE: factor of the number of blocks, and of all channels.
PPYOLOE_SIZES = {
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}
