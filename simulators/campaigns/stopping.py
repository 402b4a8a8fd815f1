"""A campaign that is asked to stop (SIGTERM, Ctrl-C) finishes the rows in hand first."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LONGEST_S = 25.0  # a cluster's scheduler kills half a minute after it asked
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a campaign was asked to stop, by which signal, and whether it has taken too long since."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self._asked_at = 0.0

    def ask(self, by: signal.Signals) -> None:
        """Note by which signal, and when."""
        self.by, self._asked_at = by, time.monotonic()

    @property
    def asked(self) -> bool:
        """Whether no new simulation is to begin."""
        return self.by is not None

    @property
    def overdue(self) -> bool:
        """Whether the rows in hand have had their time."""
        return self.asked and time.monotonic() > self._asked_at + LONGEST_S

    def end(self) -> None:
        """End the program if it was asked to: in peace after SIGTERM, as Ctrl-C does after SIGINT."""
        if self.by == signal.SIGTERM:
            raise SystemExit(0)
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """While it lasts a first signal is only noted; a second one does what it always does.

    Outside the main thread, where Python allows no handler, and for signals that are ignored nothing changes.
    """
    stop = Stop()
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        stop.ask(signal.Signals(number))
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {n: h for n, h in handlers.items() if h is not None and h != signal.SIG_IGN}
        for number in before:
            signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
