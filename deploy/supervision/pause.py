"""Letting time pass in a process that watches others."""

from __future__ import annotations

import select


def pause(seconds: float) -> None:
    """Let time pass, whatever is done to the clock of the day meanwhile.

    The wait of a ``threading.Event`` follows that clock where Python was built without ``sem_clockwait``: set back by
    an hour, a wait of a moment takes the hour. This one is relative in the kernel.
    """
    select.select([], [], [], seconds)
