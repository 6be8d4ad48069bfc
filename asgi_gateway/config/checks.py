"""What no single value shows: names that must fit each other, numbers with a range, texts with a form.

`mistakes_in` looks at whole settings, wherever they came from, and finds everything at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

from asgi_gateway.config.reader import Mistake, nearest
from asgi_gateway.config.settings import ROOT, RateLimit, Settings
from asgi_gateway.policies.budgets import time_zone
from asgi_gateway.policies.groups import AUTO, usable_groups
from asgi_gateway.policies.price_checks import price_mistakes
from asgi_gateway.policies.windows import parse_rate
from asgi_gateway.providers import check_channel
from asgi_gateway.storage.records import Budget, Timeouts

__all__ = ["mistakes_in"]

DEFAULT_GROUP = "default"

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")

LEAST: Mapping[str, float] = {
    "server.port": 0,
    "server.max_body_mb": 1,
    "server.max_upload_mb": 1,
    "server.ping": 0,
    "server.grace": 0,
    "storage.spool_mb": 1,
    "limits.bodies_in_flight_mb": 1,
    "retry.attempts": 1,
    "identity.quota": 0,
    "responses.history": 0,
}
"""The smallest number allowed, by key."""


def mistakes_in(settings: Settings) -> list[Mistake]:
    """Everything in the settings that cannot work."""
    return [found for check in CHECKS for found in check(settings)]


def _server(settings: Settings) -> Iterator[Mistake]:
    for key, least in LEAST.items():
        section, _, name = key.partition(".")
        if getattr(getattr(settings, section), name) < least:
            yield Mistake(key, f"must be at least {least}")
    server = settings.server
    if server.port > 65535:
        yield Mistake("server.port", "must be at most 65535")
    if not server.host:
        yield Mistake("server.host", "must not be empty")
    yield from _networks(server.trusted_proxies, "server.trusted_proxies")
    for index, origin in enumerate(server.cors_origins):
        parts = urlsplit(origin)
        if origin != "*" and (not parts.scheme or not parts.netloc or parts.path or parts.query):
            yield Mistake(f"server.cors_origins[{index}]", 'must be an origin like "https://host", or "*"')
    yield from _rate(settings.limits.failed_authentications, "limits.failed_authentications")
    yield from _timeouts(settings.timeouts, "timeouts")


def _storage(settings: Settings) -> Iterator[Mistake]:
    if not _is_database(settings.storage.url, ("memory", *DATABASES)):
        yield Mistake("storage.url", "must be a URL: memory://, sqlite:///file.db, postgresql://… or mysql://…")
    if settings.storage.log_url and not _is_database(settings.storage.log_url, DATABASES):
        yield Mistake("storage.log_url", "must be a URL: sqlite:///file.db, postgresql://… or mysql://…")
    if settings.storage.redis and not _is_redis(settings.storage.redis):
        yield Mistake("storage.redis", "must be redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0")
    if settings.storage.crypto_secret is not None and not settings.storage.crypto_secret.reveal():
        yield Mistake("storage.crypto_secret", "must not be empty")
    if settings.storage.crypto_secret_previous and not settings.storage.crypto_secret:
        yield Mistake("storage.crypto_secret", "is missing: previous secrets are only for reading")
    if settings.storage.sync <= 0:
        yield Mistake("storage.sync", "must be above 0")
    if settings.log.keep_days < 0 or settings.log.keep_days == 1:
        yield Mistake("log.keep_days", "must be 0, for ever, or at least 2: what is younger may still be asked for")


def _is_database(url: str, schemes: Sequence[str]) -> bool:
    """Whether it is a URL of one of these kinds."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.partition("+")[0].lower() in schemes


def _is_redis(url: str) -> bool:
    """Whether it is a URL that names a server. Nothing of it is shown: a password may stand anywhere in it."""
    try:
        parts = urlsplit(url)
        database = parts.path.removeprefix("/")
        if parts.scheme == "unix":
            return bool(parts.path)
        known = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        return known and (not database or database.isdecimal())
    except ValueError:  # a port that is no number
        return False


def _channels(settings: Settings) -> Iterator[Mistake]:
    yield from _unique("channels", (channel.name for channel in settings.channels))
    for channel in settings.channels:
        place = f"channels[{channel.name}]"
        for line in check_channel(channel):
            field, _, reason = line.partition(": ")
            yield Mistake(f"{place}.{field}", reason)
        if channel.weight < 0:
            yield Mistake(f"{place}.weight", "must be at least 0")
        yield from _groups(settings, channel.groups, f"{place}.groups")
        yield from _timeouts(channel.timeouts, f"{place}.timeouts")


def _suffixes(settings: Settings) -> Iterator[Mistake]:
    for index, rule in enumerate(settings.reasoning_suffixes):
        place = f"reasoning_suffixes[{index}]"
        if not rule.suffix.strip("-"):
            yield Mistake(f"{place}.suffix", "must not be empty")
        if not rule.models:
            yield Mistake(f"{place}.models", "must name at least one pattern")
        if rule.share is not None and not 0 < rule.share <= 1:
            yield Mistake(f"{place}.share", "must be above 0 and at most 1")


def _users(settings: Settings) -> Iterator[Mistake]:
    yield from _unique("users", (user.name for user in settings.users))
    for user in settings.users:
        place = f"users[{user.name}]"
        yield from _quota(user.quota, user.unlimited, place)
        yield from _budget(user.budget, place)
        yield from _groups(settings, [user.group], f"{place}.group")


def _tokens(settings: Settings) -> Iterator[Mistake]:
    yield from _unique("tokens", (token.name for token in settings.tokens))
    groups = {user.name: user.group for user in settings.users}
    users = list(groups)
    keys: dict[str, str] = {}
    for token in settings.tokens:
        place = f"tokens[{token.name}]"
        yield from _quota(token.quota, token.unlimited, place)
        yield from _budget(token.budget, place)
        if token.user not in users and token.user != ROOT:
            yield Mistake(f"{place}.user", f'there is no user "{token.user}"' + nearest(token.user, users))
        key = token.key.reveal().removeprefix("sk-")
        if not _sendable(key):
            yield Mistake(f"{place}.key", "must be of visible ASCII characters, at least one after sk-")
        elif (other := keys.setdefault(key, token.name)) != token.name:
            yield Mistake(f"{place}.key", f'is the key of the token "{other}" too')
        yield from _networks(token.networks, f"{place}.networks")
        if token.group is not None and token.group != AUTO:
            yield from _usable(settings, token.group, groups.get(token.user, DEFAULT_GROUP), f"{place}.group")


def _described_groups(settings: Settings) -> Iterator[Mistake]:
    for name, group in settings.groups.items():
        place = f"groups.{name}"
        if name == AUTO:
            yield Mistake(
                place, f'no group can be called "{AUTO}": tokens name it to use the first group that can serve'
            )
        if group.ratio < 0:
            yield Mistake(f"{place}.ratio", "must be at least 0")
        yield from _budget(group.budget, place)
        yield from _groups(settings, group.usable, f"{place}.usable")
        yield from _groups(settings, list(group.ratios), f"{place}.ratios")
        for used, ratio in group.ratios.items():
            if ratio < 0:
                yield Mistake(f"{place}.ratios.{used}", "must be at least 0")


def _billing(settings: Settings) -> Iterator[Mistake]:
    try:
        time_zone(settings.billing.timezone)
    except ValueError as reason:
        yield Mistake("billing.timezone", str(reason))


def _prices(settings: Settings) -> Iterator[Mistake]:
    for model, price in settings.model_prices.items():
        for key, reason in price_mistakes(price):
            yield Mistake(f'models."{model}".price.{key}', reason)


def _aliases(settings: Settings) -> Iterator[Mistake]:
    reported: set[str] = set()
    for alias in settings.aliases:
        way = [alias]
        while (target := settings.aliases.get(way[-1])) is not None and target not in way:
            way.append(target)
        if target == alias and not reported.intersection(way):
            reported.update(way)
            yield Mistake(f"aliases.{alias}", "leads back to itself: " + " -> ".join([*way, alias]))


def _rate_limits(settings: Settings) -> Iterator[Mistake]:
    for index, limit in enumerate(settings.rate_limits):
        place = f"rate_limits[{index}]"
        for kind in ("requests", "successes", "tokens"):
            yield from _rate(getattr(limit, kind), f"{place}.{kind}")
        if limit.concurrency < 0:
            yield Mistake(f"{place}.concurrency", "must be at least 0")
        if not _limits_anything(limit):
            yield Mistake(place, "limits nothing: give requests, successes, tokens or concurrency")
        yield from _groups(settings, limit.groups, f"{place}.groups")


def _limits_anything(limit: RateLimit) -> bool:
    return bool(limit.requests or limit.successes or limit.tokens or limit.concurrency)


def _unique(section: str, names: Iterable[str]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for name in names:
        if not name:
            yield Mistake(f"{section}.name", "must not be empty")
        elif name in seen:
            yield Mistake(f"{section}[{name}].name", f"two {section} have this name")
        seen.add(name)


def _quota(quota: int | None, unlimited: bool, place: str) -> Iterator[Mistake]:
    if quota is None and not unlimited:
        yield Mistake(place, "say quota = units (500 000 = 1 USD), or unlimited = true")
    elif quota is not None and unlimited:
        yield Mistake(place, "has a quota and is unlimited: say one")
    elif quota is not None and quota < 0:
        yield Mistake(f"{place}.quota", "must be at least 0")


def _budget(budget: Budget, place: str) -> Iterator[Mistake]:
    for period in budget.__slots__:
        limit = getattr(budget, period)
        if limit is not None and limit < 0:
            yield Mistake(f"{place}.budget.{period}", "must be at least 0")


def _usable(settings: Settings, group: str, own: str, place: str) -> Iterator[Mistake]:
    """A token's group must be one that its user may use."""
    usable = usable_groups(settings.groups, own)
    if group in usable:
        return
    unknown = list(_groups(settings, [group], place))
    yield from unknown
    if not unknown:
        yield Mistake(
            place, f'users of the group "{own}" may not use it: add "{group}" to the `usable` of [groups.{own}]'
        )


def _groups(settings: Settings, names: Sequence[str], place: str) -> Iterator[Mistake]:
    """Once a file describes groups, a name outside them is a slip; where it describes none, all have the ratio 1."""
    known = {DEFAULT_GROUP, *settings.groups}
    if settings.groups:
        for name in names:
            if name not in known:
                yield Mistake(place, f'there is no group "{name}"' + nearest(name, sorted(known)))


def _networks(networks: Sequence[str], place: str) -> Iterator[Mistake]:
    for index, network in enumerate(networks):
        try:
            ip_network(network)
        except ValueError as reason:
            yield Mistake(f"{place}[{index}]", f"must be a network like 10.0.0.0/8: {reason}")


def _rate(rate: str, place: str) -> Iterator[Mistake]:
    if rate:
        try:
            parse_rate(rate)
        except ValueError as reason:
            yield Mistake(place, str(reason))


def _timeouts(timeouts: Timeouts, place: str) -> Iterator[Mistake]:
    for name in timeouts.__slots__:
        if getattr(timeouts, name) < 0:
            yield Mistake(f"{place}.{name}", "must be at least 0")


def _sendable(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" for character in text)


CHECKS: Sequence[Callable[[Settings], Iterable[Mistake]]] = (
    _server,
    _storage,
    _channels,
    _users,
    _tokens,
    _described_groups,
    _prices,
    _billing,
    _aliases,
    _suffixes,
    _rate_limits,
)
"""All checks, in the order of the file's sections."""
