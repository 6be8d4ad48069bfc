"""A sampling profiler for the main thread: where CPU time goes, by function and by line.

`ITIMER_PROF` counts the CPU time of the process (setitimer(2)); Python runs the handler between two instructions,
so time inside a C function counts for the line that called it. It adds about one per cent, and warps little.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Sampler", "sampled"]

STEP = 0.001
"""Seconds of CPU time between two samples; the kernel's clock makes it longer, often 4 ms."""


class Sampler:
    """Counts where the main thread was seen."""

    def __init__(self) -> None:
        self.samples = 0
        self.own: Counter[str] = Counter()
        """By line: the samples in which it was the innermost one."""
        self.functions: Counter[str] = Counter()
        """By function: the samples in which it was the innermost one."""
        self.within: Counter[str] = Counter()
        """By function: the samples in which it was anywhere on the stack."""

    def take(self, signum: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        if frame is None:
            return
        self.samples += 1
        self.own[f"{_place(frame)}:{frame.f_lineno}"] += 1
        self.functions[_place(frame)] += 1
        seen = set()
        walked: FrameType | None = frame
        while walked is not None:
            seen.add(_place(walked))
            walked = walked.f_back
        self.within.update(seen)

    def report(self, rows: int = 30) -> str:
        """Three tables, in per cent of all samples."""
        parts = [f"{self.samples} samples"]
        for title, counted in (
            ("own time by function", self.functions),
            ("own time by line", self.own),
            ("with everything called", self.within),
        ):
            parts.append(f"\n{title}")
            parts += [f"{count * 100 / self.samples:6.2f} %  {name}" for name, count in counted.most_common(rows)]
        return "\n".join(parts)


def _place(frame: FrameType) -> str:
    code = frame.f_code
    file = "/".join(code.co_filename.split("/")[-3:])
    return f"{file} {code.co_qualname}"


@contextmanager
def sampled(sampler: Sampler) -> Iterator[None]:
    """Sample the block; only from the main thread."""
    before = signal.signal(signal.SIGPROF, sampler.take)
    signal.setitimer(signal.ITIMER_PROF, STEP, STEP)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
