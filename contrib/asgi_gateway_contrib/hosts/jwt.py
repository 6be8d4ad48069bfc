"""Callers named by a signed JSON Web Token in `Authorization: Bearer` (RFC 7519)."""

from collections.abc import Callable, Sequence

from asgi_gateway import Identity
from asgi_gateway.types import Scope

try:
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import Key, KeySet
except ImportError as missing:
    raise ImportError("this adapter needs joserfc: pip install 'asgi-gateway[jwt]'") from missing

__all__ = ["jwt_identity"]


def jwt_identity(
    keys: Key | KeySet,
    *,
    issuer: str,
    audience: str,
    algorithms: Sequence[str] = ("RS256", "ES256"),
    user: str = "sub",
    group: str | None = None,
) -> Callable[[Scope], Identity | None]:
    """Name callers by a token that `issuer` signed for `audience`.

    `keys` is a joserfc key, or a key set such as `KeySet.import_key_set(…)` makes of a JSON Web Key Set.
    `user` and `group` name the claims.
    A token that is missing, expired, not for us or not signed by one of the keys names nobody.
    `algorithms` are the only ones accepted, whatever a token says of itself.
    """
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
    )
    allowed = list(algorithms)

    def identify(scope: Scope) -> Identity | None:
        text = _bearer(scope)
        if not text:
            return None
        try:
            token = jwt.decode(text, keys, algorithms=allowed)
            registry.validate(token.claims)
        except (JoseError, ValueError):  # ValueError: no token at all, such as another kind of key
            return None
        subject = token.claims.get(user)
        if not isinstance(subject, str) or not subject:
            return None
        named = token.claims.get(group) if group is not None else None
        return Identity(subject, named if isinstance(named, str) else None, cookie=False)

    return identify


def _bearer(scope: Scope) -> str:
    for header, value in scope["headers"]:
        if header == b"authorization":
            text: str = value.decode("latin-1")
            return text[7:].strip() if text[:7].lower() == "bearer " else ""
    return ""
