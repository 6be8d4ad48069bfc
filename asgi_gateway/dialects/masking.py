"""Takes out of a text what a caller must not see: keys, addresses, hosts and accounts of an upstream.

An upstream writes its error texts for the one who holds the key. Ours pass through here before anybody else reads them.

```python
from asgi_gateway.dialects.masking import mask

assert mask("Incorrect API key sk-abcdef123456, see http://10.0.0.7:8080/keys") == "Incorrect API key ***, see ***"
```
"""

import re

__all__ = ["mask"]

LIMIT = 4000
"""Characters kept of a text."""

_SECRET = re.compile(
    r"""
      (?<![\w+.-])[a-z][a-z0-9+.-]*+://[^\s"'<>)\]}]*[^\s"'<>)\]}.,;:!?] # a URL, without the sentence's own punctuation
    | (?<![\w-])(?:sk|pk|rk|gsk|csk|xai|pplx|hf|r8|nvapi|ghp|org|proj)[-_][\w*.-]{3,}[\w*] # keys and accounts
    | (?<!\w)(?:AIza|AKIA|ASIA|ya29\.)[\w-]{8,}
    | (?<!\w)eyJ[\w-]{8,}(?:\.[\w-]+)*                              # a JSON Web Token
    | (?<!\w)(?=[a-z0-9_]*\d)[a-z0-9_]{32,}+={0,2}                   # hexadecimal and other long keys; no UUID
    | (?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+                     # an e-mail address
    | (?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.]\d)          # IPv4
    | (?<![\w:])\[?(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])(?:\]:\d+)?            # IPv6
    | (?<![\w:])\[?(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?::[0-9a-f]{0,4}(?::[0-9a-f]{1,4})*(?![\w:])(?:\]:\d+)?
    | (?<![\w.-])localhost(?::\d+)?(?!\w)
    | (?<![\w.-])(?:[a-z0-9-]++\.)+(?:com|net|org|io|ai|dev|cloud|cn|co|app|internal|local|lan|svc|corp
        |eu|us|de|uk|jp|in)(?:\.[a-z]{2})?(?![\w-])(?::\d+)?                             # a host name
    | (?<![\w./-])[a-z][\w-]*+(?:\.[\w-]++)*:\d{4,5}(?!\w)           # host and port
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"""(\bapi[-_ ]?key(?:\s+(?:provided|given|is|was))?\s*[:=]\s*["'`]?|\b(?:bearer|basic)\s+)"""
    r"""[^\s"'`,;]*[^\s"'`,;.]""",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """The text with `***` for each secret or address, cut to 4 000 characters."""
    return _SECRET.sub("***", _CREDENTIAL.sub(r"\1***", text[: 2 * LIMIT]))[:LIMIT]
