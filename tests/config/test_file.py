"""What a file, the environment and a command line make together."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from asgi_gateway.config import ConfigurationError, Settings, TokenSettings, UserSettings, extended, load_settings
from asgi_gateway.storage.records import Channel, Group, Price, Secret, Timeouts

Load = Callable[..., Settings]
MistakesOf = Callable[..., list[str]]

FULL = """
[server]
host = "0.0.0.0"
port = 3001
trusted_proxies = ["10.0.0.0/8"]
cors_origins = ["https://app.example"]
max_body_mb = 8
max_upload_mb = 64
ping = 15
metrics = "open"
grace = 2.5

[storage]
url = "sqlite:///other.db"
redis = ""

[limits]
failed_authentications = "5/minute"
bodies_in_flight_mb = 64

[timeouts]
plain = 30

[[channels]]
name = "main"
provider = "openai"
base_url = "http://127.0.0.1:9100"
keys = ["sk-upstream", "env:SECOND_KEY"]
models = ["gpt-4o-mini"]
groups = ["default"]
priority = 2
weight = 3
dialects = ["openai_chat"]
model_mapping = { "gpt-4o-mini" = "gpt-4o-mini-2024-07-18" }
conversion = "strict"
thinking_to_content = true
param_override = { temperature = 0.5, n = 1, stop = ["a"], deep = { x = true } }
header_override = { x-team = "a" }
proxy = "http://127.0.0.1:3128"
[channels.timeouts]
connect = 1.5
idle = 10

[[users]]
name = "alice"
group = "default"
quota = 5000000

[[tokens]]
name = "dev"
key = "env:DEV_KEY"
user = "alice"
quota = 500000
models = ["gpt-4o-mini"]
networks = ["127.0.0.0/8"]
show_route = true
expires = 2027-01-01T00:00:00Z

[groups.default]
ratio = "1.5"
models = []

[models."gpt-4o-mini".price]
input = "0.15"
output = 0.60
cache_read = 1

[aliases]
fast = "gpt-4o-mini"

[[rate_limits]]
per = "user"
requests = "60/minute"
successes = ""
tokens = "100000/minute"
concurrency = 8
models = ["gpt-4o-mini"]
groups = ["default"]

[retry]
attempts = 2
[billing]
unpriced = "free"
lost = "all"
[identity]
quota = 7
"""

KEYS = {"SECOND_KEY": "sk-second", "DEV_KEY": "sk-dev-0123456789"}


def test_every_key_of_the_reference_is_read(load: Load) -> None:
    """Each value of a full file stands in the settings."""
    settings = load(FULL, KEYS)

    assert settings.server.host == "0.0.0.0"
    assert (settings.server.port, settings.server.ping, settings.server.grace) == (3001, 15.0, 2.5)
    assert settings.server.trusted_proxies == ("10.0.0.0/8",)
    assert settings.limits.bodies_in_flight_mb == 64
    assert settings.channels == (
        Channel(
            name="main",
            provider="openai",
            base_url="http://127.0.0.1:9100",
            keys=(Secret("sk-upstream"), Secret("sk-second")),
            models=("gpt-4o-mini",),
            priority=2,
            weight=3,
            dialects=("openai_chat",),
            model_mapping={"gpt-4o-mini": "gpt-4o-mini-2024-07-18"},
            conversion="strict",
            thinking_to_content=True,
            param_override={"temperature": 0.5, "n": 1, "stop": ["a"], "deep": {"x": True}},
            header_override={"x-team": "a"},
            proxy="http://127.0.0.1:3128",
            timeouts=Timeouts(connect=1.5, plain=30.0, idle=10.0),
            origin="file",
        ),
    )
    assert settings.users == (UserSettings(name="alice", quota=5_000_000),)
    assert settings.tokens == (
        TokenSettings(
            name="dev",
            key=Secret("sk-dev-0123456789"),
            user="alice",
            quota=500_000,
            models=("gpt-4o-mini",),
            networks=("127.0.0.0/8",),
            show_route=True,
            expires=datetime(2027, 1, 1, tzinfo=UTC),
        ),
    )
    assert settings.groups == {"default": Group(name="default", ratio=Decimal("1.5"))}
    assert settings.model_prices == {
        "gpt-4o-mini": Price(input=Decimal("0.15"), output=Decimal("0.60"), cache_read=Decimal(1))
    }
    assert settings.aliases == {"fast": "gpt-4o-mini"}
    assert settings.rate_limits[0].concurrency == 8
    assert (settings.retry.attempts, settings.billing.lost, settings.identity.quota) == (2, "all", 7)


def test_numbers_of_prices_never_pass_through_a_float(load: Load) -> None:
    """A price written as a number keeps each of its digits."""
    settings = load('[models.m.price]\ninput = 0.1234567890123456789\noutput = "1e-7"')

    assert str(settings.model_prices["m"].input) == "0.1234567890123456789"
    assert settings.model_prices["m"].output == Decimal("0.0000001")


def test_nothing_at_all_gives_the_defaults() -> None:
    """Without a file and an environment the built-in defaults stand."""
    settings = load_settings(None, {})

    assert settings == Settings()
    assert (settings.server.host, settings.server.port, settings.storage.url) == (
        "127.0.0.1",
        3000,
        "sqlite:///gateway.db",
    )


def test_the_command_line_goes_over_the_environment_and_that_over_the_file(load: Load) -> None:
    """Order: default < file < environment < command line."""
    text = "[server]\nport = 1\nmax_body_mb = 2"

    assert load(text).server.port == 1
    assert load(text, {"PORT": "3"}).server.port == 3
    settings = load(text, {"PORT": "3"}, {"server": {"port": 4}})
    assert (settings.server.port, settings.server.max_body_mb, settings.server.host) == (4, 2, "127.0.0.1")


def test_channels_take_the_deadlines_they_do_not_name_from_the_section_timeouts(load: Load) -> None:
    """`[timeouts]` and the environment stand under what a channel says of its own."""
    text = """
        [timeouts]
        headers = 7
        [[channels]]
        name = "a"
        provider = "openai"
        keys = ["k"]
        timeouts = { idle = 9 }
        [[channels]]
        name = "b"
        provider = "openai"
        keys = ["k"]
        """
    a, b = load(text, {"STREAMING_TIMEOUT": "120", "RELAY_TIMEOUT": "600.5"}).channels

    assert a.timeouts == Timeouts(headers=7, idle=9, total=600.5)
    assert b.timeouts == Timeouts(headers=7, idle=120, total=600.5)


def test_api_versions_hold_for_channels_of_the_provider_that_do_not_say_theirs(load: Load) -> None:
    """The environment's goes over the file's."""
    channels = "".join(
        f'[[channels]]\nname = "{name}"\nprovider = "azure"\nkeys = ["k"]\nbase_url = "https://a.test"\n{version}\n'
        for name, version in (("a", ""), ("b", 'api_version = "2024-06-01"'))
    )
    text = '[api_versions]\nazure = "2024-10-21"\ngroq = "1"\n' + channels

    assert [channel.api_version for channel in load(text, {}).channels] == ["2024-10-21", "2024-06-01"]
    settings = load(text, {"AZURE_DEFAULT_API_VERSION": "2025-04-01-preview"})
    assert [channel.api_version for channel in settings.channels] == ["2025-04-01-preview", "2024-06-01"]
    given = {"name": "c", "provider": "azure", "keys": ["k"], "base_url": "https://a.test"}
    assert extended(settings, channels=[given]).channels[-1].api_version == "2025-04-01-preview"


def test_a_text_env_reads_the_environment_wherever_it_stands(load: Load) -> None:
    """`env:NAME` is replaced in any value."""
    settings = load('[storage]\nurl = "env:DATABASE"', {"DATABASE": "memory://"})

    assert settings.storage.url == "memory://"


def test_no_repr_of_settings_shows_a_key(load: Load) -> None:
    """Settings can be printed."""
    text = repr(load(FULL, KEYS))

    assert "sk-upstream" not in text
    assert "sk-dev" not in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[server", "is no TOML: "),
        (b"\xff", "is no UTF-8: "),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The one line tells the file and why it cannot be read."""
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError) as refusal:
        load_settings(path, {})

    assert refusal.value.mistakes[0].startswith(f"{path}: {reason}")
    assert len(refusal.value.mistakes) == 1


def test_settings_are_extended_by_records_and_by_mappings() -> None:
    """What a host gives in code is read like a file's entries."""
    record = Channel(id=9, name="record", provider="openai", keys=(Secret("k"),), timeouts=Timeouts(idle=1))
    settings = extended(
        Settings(timeouts=Timeouts(total=5)),
        channels=[record, {"name": "mapping", "provider": "openai", "keys": ("k",), "timeouts": {"idle": 2}}],
        users=[UserSettings(name="a", unlimited=True), {"name": "b", "quota": 1}],
        tokens=[{"name": "t", "key": Secret("sk-t"), "user": "b", "quota": None, "unlimited": True}],
    )

    assert [channel.name for channel in settings.channels] == ["record", "mapping"]
    assert {channel.origin for channel in settings.channels} == {"file"}
    assert [channel.timeouts for channel in settings.channels] == [Timeouts(idle=1), Timeouts(idle=2, total=5)]
    assert [user.name for user in settings.users] == ["a", "b"]
    assert settings.tokens[0].key == Secret("sk-t")


def test_a_mapping_reads_the_environment_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key `env:NAME` is never taken for the key itself."""
    monkeypatch.setenv("DEV_KEY", "sk-from-outside")
    entry = {"name": "t", "key": "env:DEV_KEY", "unlimited": True}

    assert extended(Settings(), tokens=[entry]).tokens[0].key == Secret("sk-from-outside")

    monkeypatch.delenv("DEV_KEY")
    with pytest.raises(ConfigurationError) as refusal:
        extended(Settings(), tokens=[entry])
    assert refusal.value.mistakes == ["settings: tokens[t].key: the environment has no DEV_KEY"]


def test_a_mapping_may_hold_ready_timeouts() -> None:
    """`Timeouts` in a mapping count as said in full."""
    settings = extended(
        Settings(timeouts=Timeouts(total=5)),
        channels=[{"name": "c", "provider": "openai", "keys": ["k"], "timeouts": Timeouts(idle=2)}],
    )

    assert settings.channels[0].timeouts == Timeouts(idle=2)


def test_what_extends_settings_wrongly_is_refused_with_every_mistake() -> None:
    """Mistakes of shape come at once, those of names once the shape is right."""
    with pytest.raises(ConfigurationError) as refusal:
        extended(Settings(), channels=[{"name": "c", "keys": "k"}, 5], users=[{"nam": "a"}])  # type: ignore[list-item]  # what a host may do wrong

    assert refusal.value.mistakes == [
        "settings: channels[c].keys: must be an array",
        "settings: channels[c].provider: is missing",
        "settings: channels[1]: must be a table",
        'settings: users[0].nam: unknown key; did you mean "name"?',
        "settings: users[0].name: is missing",
    ]
    with pytest.raises(ConfigurationError, match='there is no user "nobody"'):
        extended(Settings(), tokens=[{"name": "t", "key": "k", "user": "nobody", "unlimited": True}])


def test_mistakes_are_told_where_they_were_made(mistakes_of: MistakesOf) -> None:
    """A value of the environment or the command line is not blamed on the file."""
    lines = mistakes_of(
        "[server]\nport = 1\nmax_body_mb = 0",
        {"PORT": "x", "SYNC_FREQUENCY": "0"},
        {"server": {"host": ""}},
    )

    assert lines == [
        "environment: PORT: must be a whole number",
        "server.max_body_mb: must be at least 1",
        "command line: server.host: must not be empty",
        "environment: SYNC_FREQUENCY: must be above 0",
    ]


def test_a_section_that_is_no_table_is_told_even_when_the_environment_has_a_say(mistakes_of: MistakesOf) -> None:
    """The environment does not paper over a broken file."""
    assert mistakes_of("server = 1\ntimeouts = 2\nchannels = 3", {"PORT": "4"}) == [
        "server: must be a table",
        "timeouts: must be a table",
        "channels: must be an array",
    ]
