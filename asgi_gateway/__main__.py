"""`python3 -m asgi_gateway`: the command line, which lives among the add-ons."""

from asgi_gateway_contrib.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
