"""Lists of models, as three vendors page and shape them."""

from typing import Any

import pytest

from asgi_gateway.endpoints.listings import ANTHROPIC, GOOGLE, OPENAI
from asgi_gateway.errors import InvalidRequest

NAMES = [f"m-{number}" for number in range(5)]


def anthropic(**query: str) -> tuple[list[str], bool]:
    page: Any = ANTHROPIC.page(NAMES, query)
    ids = [entry["id"] for entry in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, page["has_more"]


def test_openai_lists_all_at_once() -> None:
    """Whatever is asked for beside it."""
    page: Any = OPENAI.page(NAMES, {"limit": "1"})
    assert [entry["id"] for entry in page["data"]] == NAMES


def test_anthropic_pages_forward_and_back() -> None:
    """By the name that a page ended or began with."""
    assert anthropic() == (NAMES, False)
    assert anthropic(limit="2") == (["m-0", "m-1"], True)
    assert anthropic(limit="2", after_id="m-1") == (["m-2", "m-3"], True)
    assert anthropic(limit="2", after_id="m-3") == (["m-4"], False)
    assert anthropic(limit="2", before_id="m-4") == (["m-2", "m-3"], True)
    assert anthropic(limit="2", before_id="m-1") == (["m-0"], False)
    assert anthropic(after_id="m-4") == ([], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after_id": "unknown"}, "after_id"),
        ({"before_id": "unknown"}, "before_id"),
        ({"before_id": "m-1", "after_id": "m-1"}, "before_id"),
    ],
)
def test_a_wrong_page_of_anthropics_is_named(query: dict[str, str], param: str) -> None:
    """The parameter stands in the error."""
    with pytest.raises(InvalidRequest) as refused:
        ANTHROPIC.page(NAMES, query)
    assert refused.value.param == param


def test_google_pages_by_a_token() -> None:
    """The last page has none."""
    seen: list[str] = []
    query = {"pageSize": "2"}
    while True:
        page: Any = GOOGLE.page(NAMES, query)
        seen += [entry["name"] for entry in page["models"]]
        if "nextPageToken" not in page:
            break
        query["pageToken"] = page["nextPageToken"]
    assert seen == [f"models/{name}" for name in NAMES]
    assert GOOGLE.page([], {}) == {"models": []}
    assert len(GOOGLE.page([str(n) for n in range(2000)], {"pageSize": "5000"})["models"]) == 1000  # type: ignore[index]


@pytest.mark.parametrize(
    ("query", "param"),
    [({"pageSize": "-1"}, "pageSize"), ({"pageToken": "!"}, "pageToken"), ({"pageToken": "_w=="}, "pageToken")],
)
def test_a_wrong_page_of_googles_is_named(query: dict[str, str], param: str) -> None:
    """The parameter stands in the error."""
    with pytest.raises(InvalidRequest) as refused:
        GOOGLE.page(NAMES, query)
    assert refused.value.param == param
