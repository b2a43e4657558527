"""SIGINT and SIGTERM during a run: stop at the next moment from which the run can go on without a difference."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

from rnn_tasks import internals
from rnn_tasks.errors import Interrupted, tell


class StopSignals:
    """Turns SIGINT and SIGTERM into ``Interrupted`` inside ``with StopSignals() as signals:``.

    Before and after training the signal raises Interrupted at once. In training it is noted in ``received``, and
    whoever keeps the run raises Interrupted when the run has been saved. A second signal always raises at once.
    Outside the main thread signals are left as they are.

    Attributes:
        received: the number of the signal that has been noted, 0 without one.
        training: whether a signal is noted instead of raised.
    """

    def __init__(self) -> None:
        self.received, self.training = 0, False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if _in_main_thread():
            self._former = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def note_from_now_on(self) -> None:
        """Training has started: note a signal, and take SIGTERM back from Lightning."""
        self.raise_if_received()
        self.training = True
        if _in_main_thread():
            internals.replace_sigterm_handler(self._stop)

    def raise_from_now_on(self) -> None:
        """Training has ended: a signal raises at once."""
        self.training = False

    def raise_if_received(self) -> None:
        """Raise Interrupted if a signal has been noted."""
        if self.received:
            raise Interrupted(self.received)

    def _stop(self, number: int, frame: Any) -> None:
        again, self.received = self.received, number
        if again or not self.training:
            raise Interrupted(number)  # where it is swallowed, as in __del__, raise_if_received repeats it
        tell("\nstopping in a moment; once more to stop at once")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
