"""The benchmarks are a package of the repository that no wheel holds: found by its path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
