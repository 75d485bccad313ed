"""Prometheus metrics in a registry that belongs to one service, so that two in one process (tests) do not mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The registry of one service, with what every service measures about its RPCs.

    Names begin with `wakepoint_`; labels have few values: never an id.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._rpcs = self.counter("rpcs", "RPCs answered.", ["service", "method", "code"])
        self._latency = self.histogram("rpc_seconds", "Time from request to last answer.", ["service", "method"])
        self._running = Gauge(
            "wakepoint_rpcs_running", "RPCs being answered now.", ["service", "method"], registry=self.registry
        )

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """A counter `wakepoint_<name>_total`."""
        return Counter(f"wakepoint_{name}", text, labels, registry=self.registry)

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = _SECONDS
    ) -> Histogram:
        """A histogram `wakepoint_<name>`; the default buckets are for seconds."""
        return Histogram(f"wakepoint_{name}", text, labels, buckets=buckets, registry=self.registry)

    def gauge(self, name: str, text: str, read: Callable[[], float] | None = None) -> Gauge:
        """A gauge `wakepoint_<name>`; with `read` it is asked for its value at each scrape, else it is set."""
        gauge = Gauge(f"wakepoint_{name}", text, registry=self.registry)
        if read is not None:
            gauge.set_function(read)
        return gauge

    def rpc_began(self, service: str, method: str) -> None:
        """An RPC of a known method arrived."""
        self._running.labels(service, method).inc()

    def rpc_ended(self, service: str, method: str, code: str, seconds: float) -> None:
        """It was answered with this status code name, so many seconds after it had arrived."""
        self._running.labels(service, method).dec()
        self._rpcs.labels(service, method, code).inc()
        self._latency.labels(service, method).observe(seconds)

    def render(self) -> bytes:
        """Everything in the text format that Prometheus scrapes (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)
