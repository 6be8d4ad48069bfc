"""A Sphinx directive that lists what a module exports, with its docstrings read as Markdown.

`autodoc` reads docstrings as reStructuredText; the docstrings of this project are Markdown, as its pages are.

````
```{public-api} asgi_gateway.errors
```
````

lists every name in the module's `__all__`, in its order: signature, docstring, public members, documented attributes.
"""

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from asgi_gateway import types

__all__ = ["setup"]

LONGEST_VALUE = 400


class PublicApi(SphinxDirective):
    """`{public-api} MODULE`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes that the module's description becomes."""
        module = import_module(self.arguments[0])
        if module.__file__ is not None:
            self.env.note_dependency(module.__file__)
        page = self.env.doc2path(self.env.docname).read_text()
        elsewhere = set(re.findall(r"\{public-api\} (\S+)", page)) - {module.__name__}
        return self.parse_text_to_nodes("\n".join(_describe_module(module, elsewhere)))


def _describe_module(module: ModuleType, elsewhere: set[str]) -> Iterator[str]:
    """Markdown for what a module exports; what comes from a module described `elsewhere` is only linked."""
    names: list[str] | None = getattr(module, "__all__", None)
    if names is None:
        raise ExtensionError(f"{module.__name__} has no __all__")
    yield from (_docstring(module), "", f":::{{py:currentmodule}} {module.__name__}", ":::", "")
    for name in names:
        value = getattr(module, name)
        if home := _home(getattr(value, "__module__", ""), name, elsewhere):
            yield from (f"`{name}` is {{py:obj}}`{home}.{name}`.", "")
        elif inspect.isclass(value):
            yield from _directive("class", name, _signature(value), _class_lines(value))
        elif inspect.isroutine(value):
            yield from _directive("function", name, _signature(value), iter([_docstring(value)]))
        else:
            comment = _attribute_docs(module.__name__).get(("", name), "")
            yield from _directive("data", name, "", iter([_value(value), "", comment]))


def _home(defined: str, name: str, elsewhere: set[str]) -> str:
    """The module described `elsewhere` in which a name is defined, or whose package exports it; "" for none."""
    for module in sorted(elsewhere, key=len, reverse=True):
        inside = defined.startswith(f"{module}.") and name in import_module(module).__all__
        if defined == module or inside:
            return module
    return ""


def _class_lines(cls: type) -> Iterator[str]:
    yield from (_docstring(cls), "")
    if issubclass(cls, BaseException):
        yield from ("Bases: " + ", ".join(f"`{base.__name__}`" for base in cls.__bases__) + ".", "")
    documented = _attribute_docs(cls.__module__)
    for name, value in vars(cls).items():
        comment = documented.get((cls.__name__, name), "")
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield from _directive("property", name, "", iter([_docstring(value)]))
        elif inspect.isroutine(value) or isinstance(value, classmethod | staticmethod):
            function = getattr(cls, name)
            yield from _directive("method", name, _signature(function), iter([_docstring(function)]))
        elif comment or issubclass(cls, Enum):
            yield from _directive("attribute", name, "", iter([comment]))
    for name in inspect.get_annotations(cls):
        if name not in vars(cls) and (cls.__name__, name) in documented:
            yield from _directive("attribute", name, "", iter([documented[cls.__name__, name]]))


def _directive(kind: str, name: str, signature: str, body: Iterator[str]) -> Iterator[str]:
    """A Python description whose fence is longer than any inside it."""
    lines = "\n".join(body).strip().split("\n")
    longest = max((len(match) for line in lines for match in re.findall(r"^:{3,}|^`{3,}", line)), default=2)
    fence = ":" * (max(longest, 2) + 1)
    yield from (f"{fence}{{py:{kind}}} {name}{signature}", "", *lines, fence, "")


def _docstring(value: object) -> str:
    """The object's own docstring: neither inherited, nor what dataclasses and builtins generate."""
    text = getattr(value, "__doc__", None) or ""
    if inspect.isclass(value) and (
        text.startswith(f"{value.__name__}(") or text == getattr(value.__base__, "__doc__", None)
    ):
        return ""
    return inspect.cleandoc(text)


def _signature(value: Any) -> str:
    """How it is called; empty for what is not called by its readers: enumerations, Protocols, plain exceptions."""
    if inspect.isclass(value):
        inherited_init = issubclass(value, BaseException) and "__init__" not in vars(value)
        if issubclass(value, Enum) or getattr(value, "_is_protocol", False) or inherited_init:
            return ""
    text = str(inspect.signature(value))
    if inspect.isclass(value):
        text = text.removesuffix(" -> None")
    return _short(text.replace("(self, ", "(").replace("(self)", "()"))


def _short(text: str) -> str:
    """Types by their last name, the ASGI ones by ours; defaults without a readable form as three dots."""
    text = _plain(re.sub(r"<[^<>]*>", "...", text))
    for name, form in ASGI_TYPES:
        text = text.replace(form, name)
    return text


def _plain(text: str) -> str:
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z]|datetime\b)", "", text)


def _value(value: object) -> str:
    """A constant as its source may say it; nothing for what has no short form."""
    if isinstance(value, tuple) and all(inspect.isclass(part) for part in value):
        text = ", ".join(part.__name__ for part in value)
    else:
        text = _short(str(value) if not isinstance(value, str) else repr(value))
    return f"`{text}`" if "..." not in text and len(text) < LONGEST_VALUE else ""


def _attribute_docs(module: str) -> dict[tuple[str, str], str]:
    """The texts under assignments, by class (empty for the module) and name."""
    docs = ModuleAnalyzer.for_module(module).find_attr_docs()
    return {key: "\n".join(lines).strip() for key, lines in docs.items()}


ASGI_TYPES = tuple((name, _plain(str(getattr(types, name)))) for name in ("ASGIApp", "Receive", "Send"))
"""The aliases that a signature shows written out: the longest first."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-api", PublicApi)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
