"""Raw results: one JSON file per run under `results/`, from which the table is made."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

__all__ = [
    "RESULTS",
    "CellCost",
    "ConversionResults",
    "LayerCost",
    "LayerResults",
    "Reading",
    "RunResults",
    "newest",
    "read_conversion",
    "read_layers",
    "read_run",
    "write",
]

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one contender showed in one phase of one round. A reading with a problem has no value that counts."""

    contender: str
    round: int
    phase: str
    """`plain` for whole answers, `streams` for open streams."""
    values: dict[str, float]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResults:
    """One side-by-side run."""

    what: str
    """`run`, or `quick` for one that is too short to be published."""
    time: str
    machine: dict[str, str]
    settings: dict[str, float]
    versions: dict[str, str]
    missing: dict[str, str]
    """Contenders that were not there, and why."""
    readings: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """CPU time of one layer for one request, in microseconds."""

    layer: str
    storage: str
    microseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResults:
    """The cost of each layer alone."""

    what: str = "layers"
    time: str
    machine: dict[str, str]
    costs: list[LayerCost]


@dataclass(frozen=True, slots=True)
class CellCost:
    """CPU time of a conversion, in microseconds: of a request, and of one event of a stream."""

    caller: str
    upstream: str
    request: float
    event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionResults:
    """The cost of converting between each two dialects."""

    what: str = "conversion"
    time: str
    machine: dict[str, str]
    costs: list[CellCost]


def now() -> str:
    """The time of a result, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(results: RunResults | LayerResults | ConversionResults, folder: Path = RESULTS) -> Path:
    """Write as `<date>-<what>.json`, replacing an earlier result of the same day."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{results.time[:10]}-{results.what}.json"
    file.write_text(json.dumps(asdict(results), indent=1) + "\n")
    return file


def newest(what: str, folder: Path = RESULTS) -> Path | None:
    """The newest result of a kind, None when there is none. The date leads the name."""
    return max(folder.glob(f"????-??-??-{what}.json"), default=None)


def read_run(file: Path) -> RunResults:
    """A run as it was written."""
    said = json.loads(file.read_text())
    return RunResults(**said | {"readings": [Reading(**reading) for reading in said["readings"]]})


def read_layers(file: Path) -> LayerResults:
    """Layer costs as they were written."""
    said = json.loads(file.read_text())
    return LayerResults(**said | {"costs": [LayerCost(**cost) for cost in said["costs"]]})


def read_conversion(file: Path) -> ConversionResults:
    """Costs of conversions as they were written."""
    said = json.loads(file.read_text())
    return ConversionResults(**said | {"costs": [CellCost(**cost) for cost in said["costs"]]})
