"""What an exchange used: disjoint kinds of tokens, and whatever else has a price."""

from msgspec import Struct

__all__ = ["TOOL_KINDS", "Usage"]

TOOL_KINDS = (
    "web_search",
    "web_fetch",
    "file_search",
    "code_execution",
    "image_generation",
    "computer_use",
    "mcp",
    "other",
)
"""What upstreams run themselves. A vendor's own names are mapped to these where its usage is read."""


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens by kind. The input kinds are disjoint and add up to the whole input; so do the output kinds.

    `input` is uncached text input, `output` is text output without reasoning, audio and images.
    `tools` counts the tools that the upstream ran itself, by kind (`TOOL_KINDS`), each kind once, in their order.
    `images` counts what was made, by quality and size ("high/1024x1024"; an unknown part is empty, "/" alone neither).
    `milliseconds` is the length of audio or video, `characters` that of a text that was spoken.
    `service_tier` is the class of service that the upstream names ("flex", "priority"); empty: the ordinary one.
    `estimated` is set when we counted, because the upstream did not say.
    `inconsistent` is set when what the upstream said does not add up: the totals were kept, the kinds are doubtful.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0
    tools: tuple[tuple[str, int], ...] = ()
    images: tuple[tuple[str, int], ...] = ()
    milliseconds: int = 0
    characters: int = 0
    service_tier: str = ""
    estimated: bool = False
    inconsistent: bool = False

    @property
    def total_input(self) -> int:
        """All tokens that went in."""
        return (
            self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input + self.image_input
        )

    @property
    def total_output(self) -> int:
        """All tokens that came out."""
        return self.output + self.reasoning + self.audio_output + self.image_output

    @property
    def tool_calls(self) -> int:
        """All calls of tools that the upstream ran."""
        return sum(count for _, count in self.tools)
