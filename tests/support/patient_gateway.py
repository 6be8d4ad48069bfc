"""The standalone server with a back-off that a test can wait in: half a minute before the third attempt.

`[retry]` has no such setting, and the back-off that it has is over before anybody could leave in it.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path

from asgi_gateway.gateway import Gateway
from asgi_gateway.middleware import RetryMiddleware
from asgi_gateway.policies.retry import RetryPolicy

__all__: list[str] = []

BACK_OFF = 30.0


def main() -> None:
    """Serve a configuration; the address goes to stderr."""
    import uvicorn

    from asgi_gateway_contrib.standalone.access_log import AccessLogWriter
    from asgi_gateway_contrib.standalone.server import DrainingServer

    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    policy = RetryPolicy(attempts=5, base=BACK_OFF, cap=BACK_OFF, random=lambda: 1.0)
    log = AccessLogWriter()
    gateway = Gateway.from_config(options.config, layers={RetryMiddleware: {"policy": policy}}, access_log=log)
    config = uvicorn.Config(gateway, host="127.0.0.1", port=options.port, access_log=False, log_level="info")
    DrainingServer(config, gateway, grace=1.0, around=nullcontext()).run()
    log.close()


if __name__ == "__main__":
    main()
