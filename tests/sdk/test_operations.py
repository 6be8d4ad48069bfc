"""What the SDK offers beside chat: embeddings, completions, moderations, models."""

import pytest
from openai import NotFoundError

from support.openai_answers import USAGE, VECTOR, completion, embeddings, moderation
from support.sdk import MODELS, Sdk, items

WORDS = ("Once ", "upon")


async def test_embeddings(sdk: Sdk) -> None:
    """The SDK asks for base64 unless told otherwise, and decodes it: the text passes as it is."""
    sdk.service.plays(embeddings())
    answer = await sdk.call("embeddings.create", model="m", input=["one", "two"])
    assert [item.embedding for item in answer.data] == [VECTOR, VECTOR]
    assert answer.usage.prompt_tokens == 8
    visit = sdk.service.visit
    assert (visit.target, visit.body["encoding_format"]) == ("/v1/embeddings", "base64")
    assert visit.raw == sdk.sent[0]
    charge = await sdk.service.charge(answer._request_id)
    assert (charge["operation"], charge["input_tokens"], charge["output_tokens"]) == ("embedding", 8, 0)


async def test_embeddings_as_numbers(sdk: Sdk) -> None:
    """A text, a list of tokens, and further options."""
    sdk.service.plays(embeddings())
    one = await sdk.call("embeddings.create", model="m", input="one", encoding_format="float", dimensions=3)
    tokens = await sdk.call("embeddings.create", model="m", input=[1, 2, 3], encoding_format="float")
    assert one.data[0].embedding == tokens.data[0].embedding == VECTOR
    assert [visit.raw for visit in sdk.service.upstream.visits] == sdk.sent


async def test_completions(sdk: Sdk) -> None:
    """The older kind, plain."""
    sdk.service.plays(completion(*WORDS))
    answer = await sdk.call("completions.create", model="m", prompt="Tell", max_tokens=5)
    assert answer.choices[0].text == "Once upon"
    assert answer.usage.total_tokens == USAGE["total_tokens"]
    assert sdk.service.visit.target == "/v1/completions"
    assert sdk.service.visit.raw == sdk.sent[0]


@pytest.mark.parametrize("wanted", [True, False], ids=["usage", "no-usage"])
async def test_completions_streamed(sdk: Sdk, wanted: bool) -> None:
    """The same about usage as in chat."""
    sdk.service.plays(completion(*WORDS))
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    chunks = await items(await sdk.call("completions.create", model="m", prompt="Tell", stream=True, **options))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "Once upon"
    usages = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    assert usages == ([USAGE["total_tokens"]] if wanted else [])
    assert sdk.service.visit.body["stream_options"] == {"include_usage": True}


async def test_moderations(sdk: Sdk) -> None:
    """With a model and without: then it is OpenAI's default."""
    sdk.service.plays(moderation())
    sdk.service.plays(moderation(), "")
    named = await sdk.call("moderations.create", model="m", input="bad")
    unnamed = await sdk.call("moderations.create", input=[{"type": "text", "text": "bad"}])
    for answer in (named, unnamed):
        assert answer.results[0].flagged
        assert answer.results[0].categories.harassment
        assert answer.results[0].category_scores.hate == 0.125
    assert [visit.target for visit in sdk.service.upstream.visits] == 2 * ["/v1/moderations"]
    assert [visit.raw for visit in sdk.service.upstream.visits] == sdk.sent
    charge = await sdk.service.charge(unnamed._request_id)
    assert charge["model"] == "omni-moderation-latest"


async def test_models(sdk: Sdk) -> None:
    """What the key may use, each with what clients require."""
    models = await items(await sdk.call("models.list"))
    assert [model.id for model in models] == sorted(MODELS)
    assert {(model.object, type(model.created), bool(model.owned_by)) for model in models} == {("model", int, True)}


async def test_one_model(sdk: Sdk) -> None:
    """By its name, which may hold a slash; one that is not there is not found."""
    assert (await sdk.call("models.retrieve", model="m")).id == "m"
    assert (await sdk.call("models.retrieve", model="org/model")).id == "org/model"
    with pytest.raises(NotFoundError) as refused:
        await sdk.call("models.retrieve", model="nothing")
    assert refused.value.code == "model_not_found"


async def test_a_bound_key_sees_its_models_alone(sdk: Sdk) -> None:
    """In the list and one by one."""
    async with sdk.as_other("sk-bound-0123456789abcdef") as bound:
        assert [model.id for model in await items(await bound.call("models.list"))] == ["org/model"]
        with pytest.raises(NotFoundError):
            await bound.call("models.retrieve", model="m")
