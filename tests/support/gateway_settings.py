"""The text of a configuration whose charges are easily computed: 1 unit for a token in, 3 for a token out."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DEV", "INPUT", "OUTPUT", "PLENTY", "Payer", "counted", "reserved", "settings"]

INPUT = 1
OUTPUT = 3
"""Units for a token."""

PRICE = 'price = { input = "2", output = "6" }'
"""The same in USD for a million tokens, at 500 000 units to the USD."""

PLENTY = 10**12


@dataclass(frozen=True, slots=True)
class Payer:
    """A user and a token, both of this name. `token_quota` None: the token is unlimited, the user's quota counts."""

    name: str
    user_quota: int = PLENTY
    token_quota: int | None = None

    @property
    def key(self) -> str:
        """The token's key."""
        return f"sk-{self.name}-0123456789abcdef"


DEV = Payer("dev")


def settings(
    port: int, models: Sequence[str], *, payers: Sequence[Payer] = (DEV,), channels: int = 1, more: str = ""
) -> str:
    """Users, their tokens, and channels to the scripted upstream at `port`, each with all `models`.

    `more` is further sections; it may begin with keys of `[server]`.
    """
    listed = ", ".join(f'"{model}"' for model in models)
    parts = ["[server]", more]
    parts += [
        f"""[[channels]]
name = "way{number}"
provider = "openai"
base_url = "http://127.0.0.1:{port}"
keys = ["sk-upstream"]
models = [{listed}]"""
        for number in range(channels)
    ]
    parts += [
        f"""[[users]]
name = "{payer.name}"
quota = {payer.user_quota}
[[tokens]]
name = "{payer.name}"
key = "{payer.key}"
user = "{payer.name}"
{"unlimited = true" if payer.token_quota is None else f"quota = {payer.token_quota}"}"""
        for payer in payers
    ]
    parts += [f'[models."{model}"]\n{PRICE}' for model in models]
    return "\n".join(parts)


def reserved(request: bytes, max_tokens: int) -> int:
    """Units set aside for a request: a token for 3 bytes of it, and all the output that it lets the answer have."""
    return -(-len(request) // 3) * INPUT + max_tokens * OUTPUT


def counted(request: bytes, output: int) -> int:
    """Units charged for a request whose upstream reported no usage, when so many tokens of output came."""
    return -(-len(request) // 4) * INPUT + output * OUTPUT
