"""How long and how often things are measured."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "TINY", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The sizes of one run. Times are in seconds."""

    rounds: int
    warm_up: float
    throughput: float
    latency: float
    connections: int = 64
    streams: int = 500
    events: int
    """Events in each stream."""
    rate: float = 10.0
    """Events per second in each stream."""
    ramp: float
    """Time over which the streams are opened."""

    @property
    def stream_deadline(self) -> float:
        """When streams that have not ended are given up: a contender that cannot keep up shall not hold the run."""
        return self.ramp + self.events / self.rate + 5.0


FULL = Settings(rounds=3, warm_up=4.0, throughput=5.0, latency=2.0, events=60, ramp=2.5)
QUICK = Settings(rounds=1, warm_up=3.0, throughput=3.0, latency=1.0, events=40, ramp=2.0)
TINY = Settings(rounds=1, warm_up=0.1, throughput=0.3, latency=0.2, connections=4, streams=5, events=5, ramp=0.1)
