"""How this replica's runs fare, for GetRunnerStats and the metrics; in memory and bounded, so it begins anew."""

from collections import deque
from collections.abc import Mapping
from datetime import timedelta

from runner_service.domain.runs import WaitHealth

REMEMBERED = 1000
QUANTILES = (0.5, 0.9, 0.99)


class Vitals:
    """`unwell`: how many waits fared ill when they were last counted, on all replicas."""

    def __init__(self) -> None:
        self._waited: deque[timedelta] = deque(maxlen=REMEMBERED)
        self.unwell: dict[WaitHealth, int] = {}

    def resumed(self, waited: timedelta) -> None:
        """A run was claimed again, so long after it had become ready."""
        self._waited.append(max(waited, timedelta(0)))

    def count(self, unwell: Mapping[WaitHealth, int]) -> None:
        """What was counted."""
        self.unwell = dict(unwell)

    def wake_latency(self) -> dict[float, timedelta]:
        """By quantile, of the last `REMEMBERED` times; empty while there are none."""
        known = sorted(self._waited)
        return {q: known[min(int(q * len(known)), len(known) - 1)] for q in QUANTILES} if known else {}
