"""Keys of the forms that cloud vendors give out."""

import json
from functools import cache

from asgi_gateway.storage.records import Secret

__all__ = ["private_key", "service_account"]


@cache
def private_key() -> str:
    """An RSA key in PEM, the same within a run."""
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048).as_pem(private=True).decode()


def service_account(**fields: object) -> Secret:
    """A service account of Google's; `fields` replace its own, None removes one."""
    account: dict[str, object] = {
        "type": "service_account",
        "project_id": "acme-1",
        "private_key_id": "key-1",
        "private_key": private_key(),
        "client_email": "robot@acme-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        **fields,
    }
    return Secret(json.dumps({name: value for name, value in account.items() if value is not None}, indent=2))
