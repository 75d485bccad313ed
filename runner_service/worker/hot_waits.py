"""Room for waits in memory: when it is used up, the oldest wait goes to the database."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count


class BoundedHotWaits:
    """At most `limit` places, in the order of arrival; with 0 nobody waits in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waits: OrderedDict[int, Callable[[], None]] = OrderedDict()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waits)

    def enter(self, evict: Callable[[], None]) -> Callable[[], None]:
        """Take a place, at the oldest wait's cost if there is none left."""
        if not self._limit:
            evict()
            return lambda: None
        if len(self._waits) >= self._limit:
            _, oldest = self._waits.popitem(last=False)
            oldest()
        number = next(self._numbers)
        self._waits[number] = evict
        return lambda: self._leave(number)

    def _leave(self, number: int) -> None:
        self._waits.pop(number, None)
