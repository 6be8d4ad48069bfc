"""What an exchange used, as disjoint kinds of tokens."""

from msgspec import Struct

__all__ = ["Usage"]


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens by kind. The input kinds are disjoint and add up to the whole input; so do the output kinds.

    `input` is uncached text input, `output` is text output without reasoning and audio.
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
    tool_calls: int = 0
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
