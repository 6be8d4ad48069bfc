"""New API's price sheets, as properties want them."""

from dataclasses import fields
from decimal import Decimal

from hypothesis import strategies as st

from asgi_gateway.policies.ratios import RatioSheet

NUMBERS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(0, 10**6), st.sampled_from((0, 1, 3, 7))
)
NAMES = st.sampled_from(
    (
        "gpt-4o",
        "gpt-4",
        "gpt-5",
        "gpt-5.5-pro",
        "o3-mini",
        "claude-sonnet-4-5",
        "anthropic/claude-3-opus",
        "gemini-2.5-flash",
        "deepseek-chat",
        "gpt-4-gizmo-*",
        "dall-e-3",
        'a "quoted" name',
        "模型",
    )
)
GROUPS = st.sampled_from(("default", "vip", "svip"))
MAPS = st.dictionaries(NAMES, NUMBERS)
SHEETS = st.builds(
    RatioSheet,
    **{part.name: MAPS for part in fields(RatioSheet) if not part.name.startswith("group_")},
    group_ratio=st.dictionaries(GROUPS, NUMBERS),
    group_group_ratio=st.dictionaries(GROUPS, st.dictionaries(GROUPS, NUMBERS)),
)
