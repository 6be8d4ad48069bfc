"""An upstream that reported only the beginning of an answer that did not come to its end."""

import pytest

from asgi_gateway.policies.billing import settle_usage
from asgi_gateway.storage.records import Outcome, Usage

BEGINNING = Usage(input=10, cache_read=5, output=1)


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.CALLER_LEFT, Outcome.EXHAUSTED])
@pytest.mark.parametrize(
    ("counted", "output", "estimated"), [(0, 1, False), (2, 1, False), (3, 3, True), (300, 300, True)]
)
def test_what_we_counted_counts_where_it_is_far_more(
    outcome: Outcome, counted: int, output: int, estimated: bool
) -> None:
    """More than twice what was reported; the prompt stays as the upstream reported it."""
    usage = settle_usage(outcome, BEGINNING, prompt_bytes=400, output_estimate=counted, reached_upstream=True)
    assert (usage.input, usage.cache_read, usage.output, usage.estimated) == (10, 5, output, estimated)


def test_of_a_whole_answer_the_report_counts() -> None:
    """However much shorter it is than our count."""
    usage = settle_usage(Outcome.COMPLETED, BEGINNING, prompt_bytes=4, output_estimate=300, reached_upstream=True)
    assert usage == BEGINNING


def test_reasoning_that_was_reported_is_part_of_what_is_known() -> None:
    """An upstream that reported hidden tokens reported more than we could count."""
    reported = Usage(input=1, output=1, reasoning=100)
    usage = settle_usage(Outcome.TRUNCATED, reported, prompt_bytes=4, output_estimate=150, reached_upstream=True)
    assert usage == reported
