"""Signals during a run: it stops at the next moment from which it can go on without a difference."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rnn_tasks import internals
from rnn_tasks.errors import Interrupted, one_line, tell

STOPS = (signal.SIGINT, signal.SIGTERM)
REQUEUES = (
    signal.SIGUSR2,
)  # of a cluster before it ends a job; submitit has a handler that puts it into the queue again


@contextmanager
def delayed_stops() -> Iterator[None]:
    """Let signals that stop a run come after this block: an import that they end leaves modules that fail later."""
    if not _in_main_thread():
        yield
        return
    received: list[int] = []
    former = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if received:
            os.kill(os.getpid(), received[0])


class StopSignals:
    """Turns SIGINT and SIGTERM into ``Interrupted`` inside ``with StopSignals() as signals:``.

    So it does with SIGUSR2 where that has a handler, which is called when the run has been saved.

    Before and after training the signal raises Interrupted at once; where a library catches that, or makes another
    error of it, it is raised at the end. In training it is noted in ``received``, and whoever keeps the run raises
    Interrupted when the run has been saved. A second signal always raises at once. Outside the main thread signals are
    left as they are.

    Attributes:
        received: the number of the signal that has been noted, 0 without one.
        training: whether a signal is noted instead of raised.
    """

    def __init__(self) -> None:
        self.received, self.training = 0, False
        self._former: dict[int, Any] = {}
        self._former_hook: Any = None

    def __enter__(self) -> StopSignals:
        if _in_main_thread():
            handled = (*STOPS, *(number for number in REQUEUES if callable(signal.getsignal(number))))
            self._former = {number: signal.signal(number, self._stop) for number in handled}
            self._former_hook, sys.unraisablehook = sys.unraisablehook, self._repeat
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self._former_hook is not None:
            sys.unraisablehook = self._former_hook
        if self.received and not isinstance(error, Interrupted) and (error is None or isinstance(error, Exception)):
            stop: BaseException | None = Interrupted(self.received)
        else:
            stop = error
        if isinstance(stop, Interrupted) and stop.signum in REQUEUES and stop.signum in self._former:
            self._requeue(stop.signum)
        if stop is not None and stop is not error:
            raise stop from error

    def _requeue(self, number: int) -> None:
        """Let the former handler put the job into the queue again, which ends the process; where it does not, go on."""
        try:
            self._former[number](number, None)
        except Exception as reason:
            tell(one_line(reason))

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
            raise Interrupted(number)
        tell("\nstopping in a moment; once more to stop at once")

    def _repeat(self, swallowed: Any) -> None:
        """Send the signal again if Interrupted was raised where Python swallows exceptions, as in ``__del__``."""
        if isinstance(swallowed.exc_value, Interrupted):
            later = threading.Timer(0.05, os.kill, (os.getpid(), swallowed.exc_value.signum))  # not inside of this hook
            later.daemon = True
            later.start()
        else:
            self._former_hook(swallowed)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
