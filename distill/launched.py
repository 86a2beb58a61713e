"""Whether this process is one of several that train together, as Paddle's launcher says in the environment.

Read without loading Paddle, so that a command can tell before it does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def launched_rank(environment: Mapping[str, str] | None = None) -> int:
    """This process's number among those that train together, from 0; 0 where there is but one."""
    return _number("PADDLE_TRAINER_ID", 0, environment) if launched_size(environment) > 1 else 0


def launched_size(environment: Mapping[str, str] | None = None) -> int:
    """How many processes train together, on all machines."""
    return max(1, _number("PADDLE_TRAINERS_NUM", 1, environment))


def launched_here(environment: Mapping[str, str] | None = None) -> int:
    """How many of them run on this machine."""
    # the launcher's older mode names no number per machine; all may then be here
    return max(1, _number("PADDLE_LOCAL_SIZE", launched_size(environment), environment))


def _number(name: str, otherwise: int, environment: Mapping[str, str] | None) -> int:
    text = (os.environ if environment is None else environment).get(name, "")
    return int(text) if text.isdecimal() else otherwise
