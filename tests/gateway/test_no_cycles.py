"""What a request leaves behind goes at once: nothing waits for the collector of cycles, whose runs stop everybody."""

import gc
from collections import Counter

import pytest

from asgi_gateway.exchange import Exchange
from support.exchanges import chat
from support.gateways import house
from support.upstream import DONE, Reply, chunk, completion, usage_chunk

ANSWERS = {
    "plain": lambda: Reply.json(completion()),
    "stream": lambda: Reply.stream(chunk(role=True), chunk("word"), chunk(finish="stop"), usage_chunk(7, 3), DONE),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_no_exchange_is_part_of_a_cycle(kind: str) -> None:
    """A hundred thousand of them would stop everybody for some 30 ms at a time."""
    count = 5
    place = house(*(ANSWERS[kind]() for _ in range(count + 1)))
    async with place.gateway:
        await place.ask(chat(stream=kind == "stream"))  # what is made once
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(count):
                await place.ask(chat(stream=kind == "stream"))
            gc.collect()
            left = Counter(type(thing).__name__ for thing in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left[Exchange.__name__] == 0, left
