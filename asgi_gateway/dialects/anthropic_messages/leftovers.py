"""Members that nobody read: noted by name, so that none is lost in silence."""

from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["note_unread"]


def note_unread(node: Node, losses: Losses) -> None:
    """Note every member of an object that is left over."""
    for name in node.unread():
        losses.dropped(plain_path(node.at(name)))
