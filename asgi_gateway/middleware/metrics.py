"""Counts exchanges for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Labels are bounded: models are those that some channel lists, channels and dialects are configured; of the codes of
failed attempts, which upstreams invent, the first hundred are told apart.
With `PROMETHEUS_MULTIPROC_DIR` in the environment the client library keeps the numbers in files that all workers share.
"""

from bisect import bisect_left

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from asgi_gateway.exchange import Exchange
from asgi_gateway.storage.records import Settlement

__all__ = ["Metrics"]

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


CODES = 100
"""How many codes of failed attempts become labels; the rest counts as "other"."""

KINDS = ("input", "cached", "output")
"""Of tokens, as labels, in the order of the sums."""


class _Times:
    """Sums of times: how many fell into each bucket, and all together."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class _SummedHistogram(Histogram):
    """A histogram that takes sums, for the library has only single observations, at 3 us each."""

    def add(self, times: _Times) -> None:
        for bucket, count in zip(self._buckets, times.counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(times.total)


class Metrics:
    """The gateway's metrics in one registry, which holds what was counted until the last `flush`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        named = ("operation", "model", "channel", "status")
        self._requests = Counter("gateway_requests", "Exchanges that ended.", named, registry=registry)
        self._seconds = _SummedHistogram(
            "gateway_request_seconds",
            "From the request to the end of the answer.",
            ("operation",),
            buckets=SECONDS,
            registry=registry,
        )
        self._first_byte = _SummedHistogram(
            "gateway_first_byte_seconds",
            "From the request to the first byte of the answer.",
            ("operation",),
            buckets=SECONDS,
            registry=registry,
        )
        self._tokens = Counter("gateway_tokens", "Tokens by kind.", ("model", "kind"), registry=registry)
        self._units = Counter("gateway_charge_units", "Charges in quota units.", ("model",), registry=registry)
        self._failures = Counter(
            "gateway_attempt_failures",
            "Attempts that failed, by channel and code.",
            ("channel", "code"),
            registry=registry,
        )
        self._open = Gauge(
            "gateway_open_exchanges", "Exchanges under way.", registry=registry, multiprocess_mode="livesum"
        )
        self._dropped = Counter(
            "gateway_access_records_dropped", "Access records that no sink took.", registry=registry
        )
        # Counting is on the way of every request, and a counter of the library takes a lock and, with several workers,
        # writes to a file: so sums are kept here, and given to the library by `flush`.
        self._ended: dict[tuple[str, str, str, int], int] = {}
        self._spent: dict[str, list[int]] = {}
        self._now_open = 0
        self._codes: set[str] = set()
        self._times: dict[str, tuple[_Times, _Times]] = {}

    def began(self) -> None:
        """An exchange began."""
        self._now_open += 1

    def ended(self, exchange: Exchange, status: int, seconds: float) -> None:
        """An exchange ended with this status after so many seconds."""
        self._now_open -= 1
        operation = exchange.operation
        route = exchange.route
        model = channel = ""
        if route is not None:
            channel = route.channel.name
            # A name that nobody serves is the caller's invention: it must not become a label.
            model = exchange.model.resolved if exchange.model is not None else ""
        key = (operation, model, channel, status)
        self._ended[key] = self._ended.get(key, 0) + 1
        times = self._times.get(operation)
        if times is None:
            times = self._times[operation] = (_Times(), _Times())
        times[0].add(seconds)
        if exchange.first_byte:
            times[1].add(exchange.first_byte)
        for attempt in exchange.attempts:
            if attempt.error:
                self._failures.labels(attempt.channel.name, self._code(attempt.error)).inc()
        settlement = exchange.settlement
        if settlement is not None and model:
            self._count(model, settlement)

    def dropped(self) -> None:
        """An access record was lost."""
        self._dropped.inc()

    def flush(self) -> None:
        """Give the library what was counted since the last time: once a second, and before the metrics are read."""
        ended, self._ended = self._ended, {}
        for (operation, model, channel, status), count in ended.items():
            self._requests.labels(operation, model, channel, str(status)).inc(count)
        spent, self._spent = self._spent, {}
        for model, sums in spent.items():
            for kind, tokens in zip(KINDS, sums, strict=False):
                self._tokens.labels(model, kind).inc(tokens)
            self._units.labels(model).inc(sums[-1])
        times, self._times = self._times, {}
        for operation, (whole, first) in times.items():
            self._seconds.labels(operation).add(whole)
            self._first_byte.labels(operation).add(first)
        self._open.set(self._now_open)

    def _code(self, error: str) -> str:
        if error not in self._codes:
            if len(self._codes) >= CODES:
                return "other"
            self._codes.add(error)
        return error

    def _count(self, model: str, settlement: Settlement) -> None:
        sums = self._spent.get(model)
        if sums is None:
            sums = self._spent[model] = [0, 0, 0, 0]
        usage = settlement.usage
        cached = usage.cache_read
        sums[0] += usage.total_input - cached
        sums[1] += cached
        sums[2] += usage.total_output
        sums[3] += settlement.charge
