"""Errors a user can mend.

Everything that is the user's to put right is raised as a :class:`TemperError`: one sentence that says
what is wrong, where, and how to mend it. The command line prints that sentence and leaves with
``exit_code``; any other exception is a bug in Temper and is reported as one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TemperError(Exception):
    """Something failed that the user can mend (exit code 1)."""

    exit_code = 1


class UsageError(TemperError):
    """The command or the recipe names what is not there, or does not fit, or must not be replaced (exit code 2)."""

    exit_code = 2


class DivergedError(TemperError):
    """A training's loss is no finite number any more; the message carries what to try."""


class OutOfMemoryError(TemperError):
    """A training does not fit this machine's memory, today or tomorrow; the message carries the batch that would."""


class MissingDependencyError(TemperError):
    """An optional package is needed and not installed; the message carries the command that installs it."""


def install_hint(extra: str) -> str:
    """How an extra gets onto this machine: from a clone, as the name on a package index may be somebody else's."""
    return f"In a clone of Temper: pip install '.[{extra}]'."


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a misspelt name: `` Did you mean 'epochs'?``, or the known names where none is near.

    Args:
        word: what the user wrote.
        known: the names that would have been right.

    Returns:
        A sentence that begins with a space, ready to be appended to a message; empty if nothing is known.
    """
    names = sorted(set(known))
    if not names:
        return ""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known here: {', '.join(names)}."
