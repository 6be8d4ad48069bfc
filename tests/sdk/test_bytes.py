"""Bodies that need no conversion arrive as they were sent, but for the splices that are permitted."""

import pytest

from support.broken_upstream import ANSWER, DONE, EVENTS, FINISH, sized, stream_of, wire
from support.caller import Call
from support.gateway_settings import DEV
from support.openai_answers import chat
from support.sdk import Sdk, Service

HELLO = chat({"content": "hello"}, [{"content": "hello"}])

ODD = [
    b' {"model" :\t"m" ,\r\n "messages":[ {"role":"user", "content":"h\\u00e9 \\ud83d\\ude00 \xf0\x9f\x98\x80"} ] }\n',
    b'{"messages":[{"role":"user","content":"\\"model\\":\\"x\\""}],"temperature":1.0E-2,"big":123456789012345678901,"model":"m"}',
    b'{"model":"first","messages":[1],"messages":[{"role":"user","content":""}],"x":{"model":"no"},"model":"m"}',
    b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":false,"stream_options":null,"user":null}',
]
"""Spaces, escapes, numbers that no float holds, names given twice."""


async def send(service: Service, body: bytes) -> Call:
    """Post a body as it is, and read the answer."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {DEV.key}\r\ncontent-type: application/json\r\n"
    )
    call = await Call.connect(service.gateway.port)
    return await (await call.send(head, body)).ended()


@pytest.mark.parametrize("body", ODD)
async def test_a_body_is_forwarded_byte_for_byte(service: Service, body: bytes) -> None:
    """Whatever its writer had in mind."""
    service.plays(wire(sized(ANSWER)))
    assert (await send(service, body)).status == 200
    assert service.visit.raw == body


@pytest.mark.parametrize("body", ODD)
async def test_only_the_models_name_is_replaced(service: Service, body: bytes) -> None:
    """Where the channel has another one, and wherever it stands at the top."""
    asked = body.replace(b'"m"', b'"renamed"')
    service.plays(wire(sized(ANSWER)), "the-upstreams-own")
    assert (await send(service, asked)).status == 200
    own = b'"the-upstreams-own"'
    assert service.visit.raw == body.replace(b'"m"', own).replace(b'"first"', own)


async def test_a_stream_is_asked_for_its_usage_and_nothing_else(sdk: Sdk) -> None:
    """One member is added."""
    sdk.service.plays(HELLO)
    await sdk.chunks(temperature=0.5, extra_body={"top_k": 1})
    assert sdk.service.visit.raw == b'{"stream_options":{"include_usage":true},' + sdk.sent[0][1:]


async def test_a_channels_overrides_are_spliced(sdk: Sdk) -> None:
    """They replace what the caller said, or are added; all else stays."""
    sdk.service.plays(HELLO, "overridden")
    await sdk.chat(model="overridden", temperature=1, top_p=0.1)
    assert b'"temperature":1,' in sdk.sent[0]
    spliced = sdk.sent[0].replace(b'"temperature":1,', b'"temperature":0.25,')
    assert sdk.service.visit.raw == b'{"seed":7,' + spliced[1:]


async def test_answers_are_passed_byte_for_byte(service: Service) -> None:
    """Plain as streamed; the length stands with the plain one."""
    service.plays(wire(sized(ANSWER), stream_of(b": hello\n\n" + EVENTS + FINISH + DONE)))
    plain = await send(service, b'{"model":"m","messages":[{"role":"user","content":"a"}]}')
    streamed = await send(service, b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}')
    assert (plain.body, plain.headers["content-length"]) == (ANSWER, str(len(ANSWER)))
    assert streamed.body == b": hello\n\n" + EVENTS + FINISH + DONE
    assert streamed.headers["cache-control"] == "no-cache, no-transform"
