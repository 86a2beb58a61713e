"""From a recipe's ``distillation`` to its losses: the closed list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import DistillationLoss, NeckPair
from .mgd import MaskedGenerativeLoss

if TYPE_CHECKING:
    from ..recipe_distillation import DistillationSection

#: Every loss, under the name of its section in the recipe.
LOSSES = {"mgd": MaskedGenerativeLoss}


def build_losses(section: DistillationSection, necks: NeckPair) -> dict[str, DistillationLoss]:
    """The losses that a recipe uses, with fresh layers, by name.

    Args:
        section: of the recipe.
        necks: what is compared.
    """
    return {name: LOSSES[name](necks, own) for name, own in section.losses().items()}  # type: ignore[arg-type]
