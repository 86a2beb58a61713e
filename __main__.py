"""``python -m temper``, and what the command ``temper`` starts."""

import signal
import sys


def run() -> int:
    """The command line of this process; gives its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # until the command line listens itself: a Ctrl-C while it is imported ends it without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
