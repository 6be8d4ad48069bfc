"""nginx in its two parts: the upstream with a fixed answer, and the plain reverse proxy that is the limit."""

from pathlib import Path

from benchmarks.machine import find_program
from benchmarks.payloads import ANSWER, PATH

__all__ = ["proxy_command", "upstream_command"]

FRAME = """\
daemon off; worker_processes 1; pid @FOLDER@/pid; error_log @FOLDER@/errors; worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 100000000; client_body_buffer_size 1m;
  client_body_temp_path @FOLDER@/body; proxy_temp_path @FOLDER@/proxy; fastcgi_temp_path @FOLDER@/fastcgi;
  uwsgi_temp_path @FOLDER@/uwsgi; scgi_temp_path @FOLDER@/scgi;
  @MORE@
}
"""

UPSTREAM = """\
server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location @PATH@ { default_type application/json; return 200 '@ANSWER@'; }
  }"""

PROXY = """\
upstream origin { server 127.0.0.1:@UPSTREAM@; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }"""


def _command(folder: Path, more: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(FRAME.replace("@MORE@", more).replace("@FOLDER@", str(folder)))
    return [find_program("nginx") or "nginx", "-p", str(folder), "-e", str(folder / "errors"), "-c", str(configuration)]


def upstream_command(folder: Path, port: int) -> list[str]:
    """An upstream that answers every chat completion with the same bytes."""
    server = UPSTREAM.replace("@PORT@", str(port)).replace("@PATH@", PATH).replace("@ANSWER@", ANSWER.decode())
    return _command(folder, server)


def proxy_command(folder: Path, port: int, upstream: int) -> list[str]:
    """A reverse proxy that keeps its connections, and nothing else."""
    return _command(folder, PROXY.replace("@PORT@", str(port)).replace("@UPSTREAM@", str(upstream)))
