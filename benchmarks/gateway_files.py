"""The configuration of our own stack under measure: everything that governs a request is on."""

from pathlib import Path

from benchmarks.payloads import CALLER_KEY, MODEL, UPSTREAM_KEY

__all__ = ["write_gateway_file"]

FILE = """\
[server]
host = "127.0.0.1"
port = @PORT@
metrics = "local"

[storage]
url = "@STORAGE@"

[[channels]]
name = "upstream"
provider = "openai"
base_url = "http://127.0.0.1:@UPSTREAM@"
keys = ["@UPSTREAM_KEY@"]
models = ["@MODEL@"]

[[users]]
name = "caller"
quota = 1_000_000_000_000

[[tokens]]
name = "benchmark"
key = "@CALLER_KEY@"
user = "caller"
quota = 1_000_000_000_000

[models."@MODEL@".price]
input = "0.15"
output = "0.60"
cache_read = "0.075"

[[rate_limits]]
per = "user"
requests = "1000000000/minute"
tokens = "1000000000000/minute"
concurrency = 100_000
"""


def write_gateway_file(folder: Path, *, port: int, upstream: int, storage: str) -> Path:
    """Write it, with a fresh database in the same folder where `storage` is "sqlite", and return where it is."""
    url = f"sqlite:///{folder / 'gateway.db'}" if storage == "sqlite" else storage
    text = FILE
    for name, value in {
        "PORT": str(port),
        "STORAGE": url,
        "UPSTREAM_KEY": UPSTREAM_KEY,
        "UPSTREAM": str(upstream),
        "MODEL": MODEL,
        "CALLER_KEY": CALLER_KEY,
    }.items():
        text = text.replace(f"@{name}@", value)
    file = folder / "gateway.toml"
    file.write_text(text)
    return file
