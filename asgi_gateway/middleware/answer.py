"""What a layer remembers of an answer that goes out through it.

Several layers want to know whether an answer began, with which status, and whether it is whole. A `send` of its own in
each of them would cost every message a call a layer: so the outermost of them makes one, and the others find it.
"""

from asgi_gateway.types import Message, Send

__all__ = ["NotedAnswer"]


class NotedAnswer:
    """A `send` that remembers the message that began the answer, and the last one; None while there was none.

    A message of an extension that comes before counts as the beginning until the true one comes.
    """

    __slots__ = ("last", "send", "start")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.last: Message | None = None

    @classmethod
    def of(cls, send: Send) -> "NotedAnswer":
        """The one that `send` is already, so that layers in a row share it, or else a new one around it."""
        return send if isinstance(send, NotedAnswer) else cls(send)

    async def __call__(self, message: Message) -> None:
        if self.start is None or "status" in message:
            self.start = message
        self.last = message
        await self.send(message)

    @property
    def good(self) -> bool:
        """Whether an answer began that is no error."""
        start = self.start
        return start is not None and (start.get("status", 500) < 400 or start["type"] == "websocket.accept")
