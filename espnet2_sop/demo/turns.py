"""One at a time, first come first served."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Full(Exception):
    """Too many are waiting."""


class Turns:
    """A queue in front of something that only one may use at a time.

    Args:
        most_waiting: Most who may wait; one more is refused.
    """

    def __init__(self, most_waiting: int):
        self.most_waiting = most_waiting
        self._line: deque[object] = deque()  # the first of them has its turn
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, waiting: Callable[[int], None]) -> Iterator[None]:
        """Waits until all who came earlier are done, then runs the block.

        Args:
            waiting: Called once a second with the number of those in front; what it raises ends the waiting, so it
                is the place to notice that nobody is interested any more.

        Raises:
            Full: `most_waiting` wait already.
        """
        ticket = object()
        with self._moved:
            if len(self._line) > self.most_waiting:
                raise Full
            self._line.append(ticket)
        try:
            while ahead := self._line.index(ticket):
                waiting(ahead)
                with self._moved:
                    self._moved.wait_for(lambda: self._line[0] is ticket, timeout=1)
            yield
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Waits until nobody is left; False if someone still is after that time."""
        with self._moved:
            return self._moved.wait_for(lambda: not self._line, timeout=seconds)
