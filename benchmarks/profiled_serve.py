"""`asgi_gateway serve` under the sampling profiler: `python3 -m benchmarks.profiled_serve REPORT serve --config FILE`.

The report is written when the server has ended.
"""

import sys
from pathlib import Path

from asgi_gateway.__main__ import main as serve
from benchmarks.sampling import Sampler, sampled

__all__ = ["main"]


def main() -> None:
    """Serve until asked to end, then write the report."""
    report = Path(sys.argv.pop(1))
    sampler = Sampler()
    try:
        with sampled(sampler):
            serve()
    finally:
        report.write_text(sampler.report())


if __name__ == "__main__":
    main()
