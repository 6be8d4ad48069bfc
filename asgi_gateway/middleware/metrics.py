"""Counts exchanges for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Labels are bounded: models are those that some channel lists, channels and dialects are configured, codes are ours.
With `PROMETHEUS_MULTIPROC_DIR` in the environment the client library keeps the numbers in files that all workers share.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from asgi_gateway.exchange import Exchange

__all__ = ["Metrics"]

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The gateway's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        named = ("operation", "model", "channel", "status")
        self._requests = Counter("gateway_requests", "Exchanges that ended.", named, registry=registry)
        self._seconds = Histogram(
            "gateway_request_seconds",
            "From the request to the end of the answer.",
            ("operation",),
            buckets=SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
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
        # `labels()` takes a lock and builds a key each time: what was asked for once is kept.
        self._kept: dict[tuple[str, str, str, int], Counter] = {}
        self._timers: dict[str, tuple[Histogram, Histogram]] = {}
        self._counted: dict[str, tuple[Counter, Counter, Counter, Counter]] = {}

    def began(self) -> None:
        """An exchange began."""
        self._open.inc()

    def ended(self, exchange: Exchange, status: int, seconds: float) -> None:
        """An exchange ended with this status after so many seconds."""
        self._open.dec()
        operation = exchange.operation.value
        route = exchange.route
        channel = route.channel.name if route is not None else ""
        # A name that nobody serves is the caller's invention: it must not become a label.
        model = exchange.model.resolved if exchange.model is not None and route is not None else ""
        key = (operation, model, channel, status)
        counter = self._kept.get(key)
        if counter is None:
            counter = self._kept[key] = self._requests.labels(operation, model, channel, str(status))
        counter.inc()
        timers = self._timers.get(operation)
        if timers is None:
            timers = self._timers[operation] = (self._seconds.labels(operation), self._first_byte.labels(operation))
        timers[0].observe(seconds)
        if exchange.first_byte:
            timers[1].observe(exchange.first_byte)
        for attempt in exchange.attempts:
            if attempt.error:
                self._failures.labels(attempt.channel.name, attempt.error).inc()
        self._count_tokens(exchange, model)

    def dropped(self) -> None:
        """An access record was lost."""
        self._dropped.inc()

    def _count_tokens(self, exchange: Exchange, model: str) -> None:
        settlement = exchange.settlement
        if settlement is None or not model:
            return
        counters = self._counted.get(model)
        if counters is None:
            counters = self._counted[model] = (
                self._tokens.labels(model, "input"),
                self._tokens.labels(model, "cached"),
                self._tokens.labels(model, "output"),
                self._units.labels(model),
            )
        usage = settlement.usage
        cached = usage.cache_read
        for counter, amount in zip(
            counters, (usage.total_input - cached, cached, usage.total_output, settlement.charge), strict=True
        ):
            if amount:
                counter.inc(amount)
