"""The cost of each cell of the conversion: a request, and an event of a stream, from one dialect into another.

Both are written once by the dialect they come in, then read and written again many times, without any I/O.
A request is a conversation of six turns with two tools, a call and its result; a stream has a thousand pieces of text,
each arriving as a chunk of its own.
"""

import gc
from itertools import product
from statistics import median
from time import process_time

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    Event,
    FunctionTool,
    Losses,
    PartClosed,
    PartOpened,
    Started,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    UsageReported,
)
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import AnswerContext, ChatDialect, RequestOutline
from benchmarks.machine import facts
from benchmarks.results import CellCost, ConversionResults, now

__all__ = ["measure_conversion"]

EVENTS = 1000

MODELS = {"anthropic_messages": "claude-sonnet-4-5", "google_generate": "gemini-2.5-flash"}
"""A model that each dialect's vendor really has; elsewhere one of OpenAI's."""

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city, in English."}, "days": {"type": "integer"}},
    "required": ["city"],
}

REQUEST = ChatRequest(
    model="m",
    instructions=(Text("You are a helpful assistant. Answer in one short sentence."),),
    turns=(
        Turn("user", (Text("What is the weather in Paris, and shall I take an umbrella?"),)),
        Turn(
            "assistant",
            (Text("I shall look."), ToolCall(id="call_1", name="get_weather", arguments='{"city":"Paris"}')),
        ),
        Turn("tool", (ToolResult(call_id="call_1", name="get_weather", parts=(Text('{"degrees":20,"rain":false}'),)),)),
        Turn("assistant", (Text("It is 20 degrees and dry in Paris: leave the umbrella at home."),)),
        Turn("user", (Text("And in London?" * 20),)),
    ),
    tools=(
        FunctionTool(name="get_weather", description="The weather of a city.", parameters=SCHEMA),
        FunctionTool(name="get_time", description="The time of a city.", parameters=SCHEMA),
    ),
    stream=True,
)

EVENTS_OF_A_STREAM: list[Event] = [
    Started("resp_1", "m", 1_700_000_000),
    PartOpened(0, "text"),
    *(TextDelta(0, f" word {number}") for number in range(EVENTS)),
    PartClosed(0),
    Stopped("stop"),
    UsageReported(Usage(input=100, output=EVENTS)),
]


def measure_conversion(rounds: int) -> ConversionResults:
    """The cost of every ordered pair of different dialects."""
    results = ConversionResults(time=now(), machine=facts(), costs=[])
    for caller, upstream in product(CHAT_DIALECTS.values(), repeat=2):
        if caller is not upstream:
            request = median(request_cost(caller, upstream) for _ in range(rounds))
            event = median(event_cost(upstream, caller) for _ in range(rounds))
            results.costs.append(CellCost(caller.name, upstream.name, request, event))
    return results


def request_cost(caller: ChatDialect, upstream: ChatDialect, times: int = 200) -> float:
    """CPU microseconds to read a caller's request and write it for the upstream."""
    body = caller.write_request(_for(caller), Losses("request"))
    outline = RequestOutline(model=_for(caller).model, stream=True)
    model = _for(upstream).model
    gc.collect()
    begin = process_time()
    for _ in range(times):
        losses = Losses("request")
        read = caller.read_request(body, outline, losses)
        upstream.write_request(_named(read, model), losses)
    return (process_time() - begin) * 1e6 / times


def event_cost(upstream: ChatDialect, caller: ChatDialect) -> float:
    """CPU microseconds to read an event of the upstream's stream and write it for the caller."""
    source = upstream.writer(_context())
    chunks = [source.write([event]) for event in EVENTS_OF_A_STREAM]
    chunks = [chunk for chunk in [*chunks, source.finish()] if chunk]
    reader, writer = upstream.reader(Losses("response")), caller.writer(_context())
    gc.collect()
    begin = process_time()
    written = 0
    for chunk in chunks:
        events = reader.feed(chunk)
        written += len(writer.write(events)) if events else 0
    written += len(writer.write(reader.finish())) + len(writer.finish())
    spent = process_time() - begin
    if written < EVENTS * 10:
        raise RuntimeError(f"{caller.name} wrote {written} bytes of a stream of {upstream.name}")
    return spent * 1e6 / EVENTS


def _for(dialect: ChatDialect) -> ChatRequest:
    return _named(REQUEST, MODELS.get(dialect.name, "gpt-4o-mini"))


def _named(request: ChatRequest, model: str) -> ChatRequest:
    return msgspec.structs.replace(request, model=model)


def _context() -> AnswerContext:
    request = ChatRequest(model="m", turns=(), stream=True, wants_usage=True)
    return AnswerContext(request=request, losses=Losses("response"), id="0123456789abcdef", created=1_700_000_000)
