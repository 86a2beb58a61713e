"""From a recipe's ``distillation`` to its losses: the closed list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import DistillationLoss, NeckPair
from .cwd import ChannelWiseLoss
from .fgd import FocalGlobalLoss
from .mgd import BackboneGenerativeLoss, MaskedGenerativeLoss
from .response import ResponseLoss

if TYPE_CHECKING:
    from ..recipe_distillation import DistillationSection

#: Every loss, under the name of its section in the recipe.
LOSSES: dict[str, type[DistillationLoss]] = {
    "mgd": MaskedGenerativeLoss,
    "mgd_backbone": BackboneGenerativeLoss,
    "cwd": ChannelWiseLoss,
    "fgd": FocalGlobalLoss,
    "response": ResponseLoss,
}


def compares_backbones(section: DistillationSection) -> bool:
    """Whether a loss that a recipe uses looks at the backbones."""
    return any(LOSSES[name].needs_backbone for name in section.losses())


def build_losses(
    section: DistillationSection, necks: NeckPair, backbones: NeckPair | None = None
) -> dict[str, DistillationLoss]:
    """The losses that a recipe uses, with fresh layers, by name.

    Args:
        section: of the recipe.
        necks: what is compared.
        backbones: what is compared by losses that look at the backbones; needed if :func:`compares_backbones`.
    """
    losses = {}
    for name, own in section.losses().items():
        pair = backbones if LOSSES[name].needs_backbone else necks
        if pair is None:
            raise ValueError(f"the loss '{name}' compares backbones, and there are none")
        losses[name] = LOSSES[name](pair, own)
    return losses
