"""From a recipe's ``distillation`` to its losses: the closed list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .base import DistillationLoss, NeckPair
from .cwd import ChannelWiseLoss
from .fgd import FocalGlobalLoss
from .mgd import MaskedGenerativeLoss
from .response import ResponseLoss

if TYPE_CHECKING:
    from ..recipe_distillation import DistillationSection

#: Every loss, under the name of its section in the recipe.
LOSSES: dict[str, Callable[[NeckPair, Any], DistillationLoss]] = {
    "mgd": MaskedGenerativeLoss,
    "cwd": ChannelWiseLoss,
    "fgd": FocalGlobalLoss,
    "response": ResponseLoss,
}


def build_losses(section: DistillationSection, necks: NeckPair) -> dict[str, DistillationLoss]:
    """The losses that a recipe uses, with fresh layers, by name.

    Args:
        section: of the recipe.
        necks: what is compared.
    """
    return {name: LOSSES[name](necks, own) for name, own in section.losses().items()}
