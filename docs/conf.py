"""How Sphinx builds these pages: `python3 -m tox -e docs`. Nothing is fetched while it does."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "asgi_gateway"
author = "The asgi_gateway authors"
copyright = author
release = version = version_of("asgi-gateway")

extensions = ["myst_parser", "public_api"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"asgi_gateway {release}"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
