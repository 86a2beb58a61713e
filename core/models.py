"""The models of a run by name, and what people call the one that is taught."""

from __future__ import annotations

from collections.abc import Iterable

#: In the order they are trained.
MODELS = ("teacher", "student", "distilled")


def distilled_title(losses: Iterable[str]) -> str:
    """The title of a student that was taught by these distillation losses: "MGD student" where MGD is the one.

    Args:
        losses: their names in a recipe; none where they are not known.
    """
    names = list(losses)
    # one that is no abbreviation, or several, would make a long and odd name
    return f"{names[0].upper()} student" if len(names) == 1 and len(names[0]) <= 3 else "Distilled student"


def in_sentence(title: str) -> str:
    """A title as it stands inside a sentence: "Distilled student" loses its capital, "MGD student" does not."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]
