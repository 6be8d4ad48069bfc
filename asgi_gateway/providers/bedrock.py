"""Amazon Bedrock: Converse and ConverseStream (https://docs.aws.amazon.com/bedrock/latest/APIReference).

A key is `ACCESS_KEY|SECRET_KEY|REGION`, with which each request is signed (Signature Version 4, by botocore; extra
`bedrock`), or `API_KEY|REGION`, an API key of Bedrock that is sent as a bearer token.
The address follows from the region; a base URL of the channel takes its place (a VPC endpoint, for instance).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import NoChannelAvailable, UpstreamError
from asgi_gateway.providers.address import DEFAULT_PORTS, parse_base_url
from asgi_gateway.providers.contract import Endpoint, Origin, Pairs, Sign
from asgi_gateway.providers.faults import Quirks, judge
from asgi_gateway.providers.headers import key_mistake, request_headers
from asgi_gateway.providers.vendor import NO_OVERRIDES, service
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["BEDROCK"]

SERVICE = "bedrock"
API_KEY, ACCESS_KEY = 2, 3
"""Parts of a key, by its form."""

FORMS = "is neither of the form ACCESS_KEY|SECRET_KEY|REGION nor API_KEY|REGION"
EXTRA = "needs the package botocore: pip install 'asgi-gateway[bedrock]'"

QUIRKS = Quirks(
    channel=("security token included in the request", "you don't have access to the model"),
    missing=("model identifier is invalid", "on-demand throughput", "end of its life"),
)


class _Bedrock:
    name = "bedrock"
    base_url = "https://bedrock-runtime.{region}.amazonaws.com"
    version = ""
    dialects = ("bedrock_converse",)
    needs_key = True

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation.

        Raises `NoChannelAvailable` for what is not offered, and for a channel that `check` would refuse.
        """
        offered = service(self.dialects, operation, dialect)
        try:
            if mistake := self.key_mistake(key):
                raise ValueError(f"the key {mistake}")
            parts = key.reveal().split("|")
            address = parse_base_url(channel.base_url or _address(parts[-1]))
            sent = Secret(parts[0] if len(parts) == API_KEY else "")
            headers = request_headers(sent, channel.header_override)
        except ValueError as mistake:
            raise NoChannelAvailable("The channel for the model is misconfigured.") from mistake
        path = (offered.stream if stream else offered.path).replace("{model}", quote(model, safe="-._~"))
        sign = _signer(*parts) if len(parts) == ACCESS_KEY else None
        target = address.path + (address.version or "") + path
        return Endpoint("POST", address.origin, target.encode("ascii"), headers, sign=sign)

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """Converse, whatever the model."""
        return self.dialects

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """None."""
        return NO_OVERRIDES

    def key_mistake(self, key: Secret) -> str | None:
        """Two or three parts, the last of them a region; and what signs must be installed."""
        if mistake := key_mistake(key):
            return mistake
        parts = key.reveal().split("|")
        if len(parts) not in (API_KEY, ACCESS_KEY) or not all(parts):
            return FORMS
        if not parts[-1].replace("-", "").isalnum():
            return "has a region of other characters than letters, digits and -"
        if len(parts) == ACCESS_KEY and not _installed():
            return EXTRA
        return None

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, its fault judged. The status is what the dialect takes it for: a quota is a 400 there."""
        read = DIALECTS[dialect].read_error(status, headers, body)
        error = judge(read, read.status if 400 <= status < 600 else status, QUIRKS)
        error.original_status = status
        return error


def _address(region: str) -> str:
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://bedrock-runtime.{region}.amazonaws.com{china}"


def _installed() -> bool:
    try:
        import botocore.auth  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def _signer(access_key: str, secret_key: str, region: str) -> Sign:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    auth = SigV4Auth(Credentials(access_key, secret_key), SERVICE, region)

    def sign(endpoint: Endpoint, body: bytes, now: datetime) -> Pairs:
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        request = AWSRequest(endpoint.method, _url(endpoint), {"X-Amz-Date": stamp}, body)
        request.context["timestamp"] = stamp
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        names = auth.signed_headers(auth.headers_to_sign(request))
        value = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
        return ((b"x-amz-date", stamp.encode("ascii")), (b"authorization", value.encode("ascii")))

    return sign


def _url(endpoint: Endpoint) -> str:
    origin: Origin = endpoint.origin
    port = "" if origin.port == DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    return f"{origin.scheme}://{origin.host}{port}{endpoint.target.decode('ascii')}"


BEDROCK = _Bedrock()
