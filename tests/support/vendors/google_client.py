"""Google's SDK. Its streams have no accumulator: the parts are joined here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from google import genai
from google.genai import errors, types

from support.vendors.answers import TOOLS, Answer, Failure, Weather, nth

__all__ = ["Google", "GoogleChat"]


class Google:
    """`client.models` of google-genai."""

    def __init__(self, base: str, key: str) -> None:
        self.client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base))

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer:
        parts = [types.Part.from_text(text=text)]
        if image is not None:
            parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        return self._send(stream, model, [types.Content(role="user", parts=parts)], None)

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer:
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        return self._send(stream, model, [_said(text)], types.GenerateContentConfig(thinking_config=thinking))

    def parse(self, model: str, text: str) -> Answer:
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)
        with _failures():
            response = self.client.models.generate_content(model=model, contents=text, config=config)
        assert response.parsed is None or isinstance(response.parsed, Weather)
        return Answer(text=response.text or "", parsed=response.parsed)

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        config = _with_tools(think)
        contents: list[types.Content] = []
        answers: list[Answer] = []
        for text in texts:
            contents.append(_said(text))
            given: list[types.Part] | None = None
            while given is None or given:
                answers.append(self._send(stream, nth(models, len(answers)), contents, config))
                contents.append(types.Content(role="model", parts=list(self.parts)))
                given = [_result(part.function_call, results) for part in self.parts if part.function_call is not None]
                if given:
                    contents.append(types.Content(role="user", parts=given))
        return answers

    def close(self) -> None:
        self.client.close()

    def _send(
        self, stream: bool, model: str, contents: Sequence[types.Content], config: types.GenerateContentConfig | None
    ) -> Answer:
        with _failures():
            call = self.client.models
            pieces: Iterable[types.GenerateContentResponse] = (
                list(call.generate_content_stream(model=model, contents=list(contents), config=config))
                if stream
                else [call.generate_content(model=model, contents=list(contents), config=config)]
            )
        return self._answer(pieces)

    def _answer(self, pieces: Iterable[types.GenerateContentResponse]) -> Answer:
        self.parts: list[types.Part] = []
        answer = Answer()
        for piece in pieces:
            for candidate in piece.candidates or []:
                self.parts += (candidate.content.parts if candidate.content else None) or []
                answer.stop = candidate.finish_reason.name if candidate.finish_reason else answer.stop
            if piece.usage_metadata is not None:
                usage = piece.usage_metadata
                answer.usage = (usage.prompt_token_count or 0, usage.candidates_token_count or 0)
        answer.text = "".join(part.text or "" for part in self.parts if not part.thought)
        answer.thinking = "".join(part.text or "" for part in self.parts if part.thought)
        calls = [part.function_call for part in self.parts if part.function_call is not None]
        answer.calls = [(call.name or "", call.args) for call in calls]
        return answer


class GoogleChat(Google):
    """`client.chats`, which keeps the conversation itself: each chunk of a stream as a content of its own."""

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        assert len(models) == 1  # a chat stays with its model
        chat = self.client.chats.create(model=models[0], config=_with_tools(think))
        answers: list[Answer] = []
        for text in texts:
            given: list[types.PartUnionDict] = [text]
            while given:
                pieces = list(chat.send_message_stream(given)) if stream else [chat.send_message(given)]
                answers.append(self._answer(pieces))
                given = [_result(part.function_call, results) for part in self.parts if part.function_call is not None]
        return answers


def _with_tools(think: bool) -> types.GenerateContentConfig:
    declared = [types.FunctionDeclaration(name=name, parameters_json_schema=dict(form)) for name, form in TOOLS.items()]
    return types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1024) if think else None,
    )


def _result(call: types.FunctionCall, results: Mapping[str, str]) -> types.Part:
    response = {"result": results[call.name or ""]}
    return types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response=response))


def _said(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part.from_text(text=text)])


@contextmanager
def _failures() -> Iterator[None]:
    """Turns the SDK's exception for an error answer into a `Failure`."""
    try:
        yield
    except errors.APIError as error:
        raise Failure(f"{type(error).__name__} {error.status}", error.code, error.message or "") from error
