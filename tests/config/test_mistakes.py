"""Every kind of mistake that a configuration file can hold gives one line that says where and why."""

from collections.abc import Callable

import pytest

MistakesOf = Callable[..., list[str]]

CHANNEL = '[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["k"]\n'
USER = '[[users]]\nname = "u"\nquota = 1\n'
TOKEN = USER + '[[tokens]]\nname = "t"\nuser = "u"\nkey = "sk-t"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server]\nprot = 1", 'server.prot: unknown key; did you mean "port"?'),
        ("[retry]\nx = 1", "retry.x: unknown key; known: attempts"),
        ("[severs]\nport = 1", 'severs: unknown key; did you mean "server"?'),
        ("[server]\nport = '1'", "server.port: must be a whole number"),
        ("[server]\nport = true", "server.port: must be a whole number"),
        ("[server]\nhost = 1", "server.host: must be a text in quotes"),
        ("[server]\nping = 'x'", "server.ping: must be a number"),
        ("[server]\nping = true", "server.ping: must be a number"),
        ("[server]\nping = nan", "server.ping: must be a number"),
        ("[server]\nmetrics = 'all'", 'server.metrics: must be "local" or "open" or "off"'),
        ("[server]\ntrusted_proxies = '10.0.0.0/8'", "server.trusted_proxies: must be an array"),
        ("[aliases]\na = 1", "aliases.a: must be a text in quotes"),
        ("aliases = []", "aliases: must be a table"),
        ('[aliases]\n"a b" = 1', 'aliases."a b": must be a text in quotes'),
        ("[groups.vip]\nratio = 'x'", "groups.vip.ratio: must be a decimal number, or one as a text"),
        ("[groups.vip]\nratio = false", "groups.vip.ratio: must be a decimal number, or one as a text"),
        ("[groups.vip]\nratio = inf", "groups.vip.ratio: must be a finite number"),
        ("[groups.vip]\nratio = -1", "groups.vip.ratio: must be at least 0"),
        ("[groups.vip]\nbudget = { week = -1 }", "groups.vip.budget.week: must be at least 0"),
        ("[groups.vip]\nusable = ['vipp']", 'groups.vip.usable: there is no group "vipp"; did you mean "vip"?'),
        (
            "[groups.vip]\nratios = { defalt = 1 }",
            'groups.vip.ratios: there is no group "defalt"; did you mean "default"?',
        ),
        ("[groups.vip]\nratios = { default = -1 }", "groups.vip.ratios.default: must be at least 0"),
        (
            "[groups.auto]",
            'groups.auto: no group can be called "auto": tokens name it to use the first group that can serve',
        ),
        (
            "[billing]\ntimezone = 'Europe/Wien'",
            'billing.timezone: there is no time zone "Europe/Wien" here: write "UTC", or a name like "Europe/Vienna"',
        ),
        ("[groups.vip]\nname = 'x'", "groups.vip.name: unknown key; known: ratio, models, usable, ratios, budget"),
        ("[models.m.price]\ninput = 1", "models.m.price.output: is missing"),
        ("[models.m.price]\ninput = 1\noutput = -1", 'models."m".price.output: must be at least 0'),
        ("[server]\nport = 70000", "server.port: must be at most 65535"),
        ("[server]\nport = -1", "server.port: must be at least 0"),
        ("[server]\nhost = ''", "server.host: must not be empty"),
        ("[server]\ngrace = -0.5", "server.grace: must be at least 0"),
        ("[server]\nmax_upload_mb = 0", "server.max_upload_mb: must be at least 1"),
        (
            "[server]\ntrusted_proxies = ['10.0.0.1/8']",
            "server.trusted_proxies[0]: must be a network like 10.0.0.0/8: 10.0.0.1/8 has host bits set",
        ),
        (
            "[server]\ncors_origins = ['*', 'app.example']",
            'server.cors_origins[1]: must be an origin like "https://host", or "*"',
        ),
        ("[timeouts]\nidle = -1", "timeouts.idle: must be at least 0"),
        *(
            (
                f"[storage]\nurl = '{url}'",
                "storage.url: must be a URL: memory://, sqlite:///file.db, postgresql://… or mysql://…",
            )
            for url in ("gateway.db", "local", "oracle://h/db", "u:p@udp(h)/db")
        ),
        *(
            (
                f"[storage]\nlog_url = '{url}'",
                "storage.log_url: must be a URL: sqlite:///file.db, postgresql://… or mysql://…",
            )
            for url in ("memory://", "clickhouse://h/db")
        ),
        ("[storage]\nspool_mb = 0", "storage.spool_mb: must be at least 1"),
        *(
            (
                f"[storage]\nredis = '{url}'",
                "storage.redis: must be redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0",
            )
            for url in (
                "canary",
                "http://canary",
                "redis:///0",
                "redis://canary:port",
                "redis://canary/zero",
                "rediss://canary:0",
                "unix://",
                "redis://[canary",
            )
        ),
        ("[storage]\ncrypto_secret = ''", "storage.crypto_secret: must not be empty"),
        (
            "[storage]\ncrypto_secret_previous = 'canary'",
            "storage.crypto_secret: is missing: previous secrets are only for reading",
        ),
        ("[storage]\nsync = 0", "storage.sync: must be above 0"),
        ("[retry]\nattempts = 0", "retry.attempts: must be at least 1"),
        ("[identity]\nquota = -1", "identity.quota: must be at least 0"),
        ("[aliases]\na = 'b'\nb = 'c'\nc = 'a'", "aliases.a: leads back to itself: a -> b -> c -> a"),
        ("[aliases]\na = 'a'", "aliases.a: leads back to itself: a -> a"),
    ],
)
def test_a_mistake_gives_one_line(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """One line with key and reason, and no other."""
    assert mistakes_of(text) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CHANNEL * 2, "channels[c].name: two channels have this name"),
        (CHANNEL.replace('"c"', '""'), "channels.name: must not be empty"),
        (CHANNEL + "weight = -1", "channels[c].weight: must be at least 0"),
        (CHANNEL + "weigth = 1", 'channels[c].weigth: unknown key; did you mean "weight"?'),
        (CHANNEL + "id = 1", "channels[c].id: unknown key"),
        (CHANNEL + "origin = 'host'", "channels[c].origin: unknown key"),
        (CHANNEL + "timeouts = { idel = 1 }", 'channels[c].timeouts.idel: unknown key; did you mean "idle"?'),
        (CHANNEL + "timeouts = { idle = -1 }", "channels[c].timeouts.idle: must be at least 0"),
        (CHANNEL + "timeouts = 1", "channels[c].timeouts: must be a table"),
        (CHANNEL + "param_override = { x = 2027-01-01 }", "channels[c].param_override.x: must be a JSON value"),
        (CHANNEL + "param_override = { x = [nan] }", "channels[c].param_override.x: must be a number"),
        (CHANNEL + "keys = []", "is no TOML: Cannot overwrite a value (at end of document)"),
        (
            CHANNEL + "groups = ['vipp']\n[groups.vip]",
            'channels[c].groups: there is no group "vipp"; did you mean "vip"?',
        ),
        (CHANNEL.replace('["k"]', '["env:NOPE"]'), "channels[c].keys[0]: the environment has no NOPE"),
        (CHANNEL.replace('["k"]', "[5]"), "channels[c].keys[0]: must be a text in quotes"),
        ("channels = [1]", "channels[0]: must be a table"),
    ],
)
def test_a_mistake_in_a_channel_names_the_channel(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """Entries of arrays are called by their names."""
    assert [mistake for mistake in mistakes_of(text) if mistake.startswith(line)]


def test_what_the_provider_says_of_a_channel_stands_with_its_field(mistakes_of: MistakesOf) -> None:
    """Providers judge channels; their lines become ours."""
    (line,) = mistakes_of(CHANNEL.replace('"openai"', '"opneai"'))

    assert line.startswith("channels[c].provider: ")
    assert "openai" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (USER * 2, "users[u].name: two users have this name"),
        ('[[users]]\nname = "u"', "users[u]: say quota = units (500 000 = 1 USD), or unlimited = true"),
        (USER + "unlimited = true", "users[u]: has a quota and is unlimited: say one"),
        ('[[users]]\nname = "u"\nquota = -1', "users[u].quota: must be at least 0"),
        (USER + 'group = "vpi"\n[groups.vip]', 'users[u].group: there is no group "vpi"; did you mean "vip"?'),
        (TOKEN, "tokens[t]: say quota = units (500 000 = 1 USD), or unlimited = true"),
        (TOKEN + "quota = 1.5", "tokens[t].quota: must be a whole number"),
        (
            TOKEN.replace('user = "u"', 'user = "uu"') + "quota = 1",
            'tokens[t].user: there is no user "uu"; did you mean "u"?',
        ),
        (
            TOKEN + "quota = 1\n[[tokens]]\nname = 's'\nkey = 't'\nunlimited = true",
            'tokens[s].key: is the key of the token "t" too',
        ),
        (
            TOKEN.replace("sk-t", "sk-") + "quota = 1",
            "tokens[t].key: must be of visible ASCII characters, at least one after sk-",
        ),
        (
            TOKEN.replace("sk-t", "sk-schlüssel") + "quota = 1",
            "tokens[t].key: must be of visible ASCII characters, at least one after sk-",
        ),
        (
            TOKEN + "quota = 1\nnetworks = ['x']",
            "tokens[t].networks[0]: must be a network like 10.0.0.0/8: "
            "'x' does not appear to be an IPv4 or IPv6 network",
        ),
        (TOKEN + "quota = 1\nexpires = 2027-01-01", "tokens[t].expires: must be a time like 2027-01-01T00:00:00Z"),
        (
            TOKEN + "quota = 1\nexpires = 2027-01-01T00:00:00",
            "tokens[t].expires: needs an offset from UTC, like 2027-01-01T00:00:00Z",
        ),
        (TOKEN + 'quota = 1\ngroup = "x"\n[groups.vip]', 'tokens[t].group: there is no group "x"; known: default, vip'),
        (
            TOKEN + 'quota = 1\ngroup = "vip"\n[groups.vip]',
            'tokens[t].group: users of the group "default" may not use it: '
            'add "vip" to the `usable` of [groups.default]',
        ),
        (TOKEN + "quota = 1\nbudget = { day = -1 }", "tokens[t].budget.day: must be at least 0"),
        (TOKEN + "quota = 1\nbudget = { year = 1 }", "tokens[t].budget.year: unknown key; known: day, week, month"),
        (TOKEN + "quota = 1\nbudget = { weak = 1 }", 'tokens[t].budget.weak: unknown key; did you mean "week"?'),
        (USER + "budget = { month = -5 }", "users[u].budget.month: must be at least 0"),
        (USER + "budget = { month = 1.5 }", "users[u].budget.month: must be a whole number"),
        (USER + "budget = 5", "users[u].budget: must be a table"),
    ],
)
def test_a_mistake_in_a_user_or_a_token_names_it(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """One line, which follows from no other."""
    assert mistakes_of(text) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('per = "user"', "rate_limits[0]: limits nothing: give requests, successes, tokens or concurrency"),
        ('per = "user"\nconcurrency = -1', "rate_limits[0].concurrency: must be at least 0"),
        (
            "concurrency = 1",
            "rate_limits[0].per: is missing",
        ),
        (
            'per = "user"\nconcurrency = 1\ngroups = ["x"]\n[groups.vip]',
            'rate_limits[0].groups: there is no group "x"; known: default, vip',
        ),
    ],
)
def test_a_mistake_in_a_rate_limit_names_its_place(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """Rate limits have no names: they are counted from 0."""
    assert mistakes_of("[[rate_limits]]\n" + text) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('models = ["x*"]\nsuffix = "-"', "reasoning_suffixes[0].suffix: must not be empty"),
        ('models = []\nsuffix = "-x"', "reasoning_suffixes[0].models: must name at least one pattern"),
        (
            'models = ["x*"]\nsuffix = "-x"\nshare = "1.5"',
            "reasoning_suffixes[0].share: must be above 0 and at most 1",
        ),
        (
            'models = ["x*"]\nsuffix = "-x"\nefort = "low"',
            'reasoning_suffixes[0].efort: unknown key; did you mean "effort"?',
        ),
    ],
)
def test_a_mistake_in_a_reasoning_suffix_names_its_place(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """Like rate limits they are counted from 0."""
    assert mistakes_of("[[reasoning_suffixes]]\n" + text) == [line]


@pytest.mark.parametrize("kind", ["requests", "successes", "tokens"])
def test_a_rate_that_does_not_parse_is_told(mistakes_of: MistakesOf, kind: str) -> None:
    """Rates are texts like 60/minute."""
    (line,) = mistakes_of(f'[[rate_limits]]\nper = "user"\n{kind} = "lots"')

    assert line.startswith(f"rate_limits[0].{kind}: ")


def test_all_mistakes_of_a_file_come_at_once(mistakes_of: MistakesOf) -> None:
    """Wrong shapes do not hide wrong names elsewhere."""
    lines = mistakes_of(
        """
        [server]
        prot = 1
        port = "x"
        [[channels]]
        name = "c"
        provider = "nowhere"
        keys = ["k"]
        weigth = 2
        [aliases]
        a = "a"
        """
    )

    assert [line.partition(":")[0] for line in lines] == [
        "server.prot",
        "server.port",
        "channels[c].weigth",
        "channels[c].provider",
        "aliases.a",
    ]


def test_a_mistake_never_shows_a_secret(mistakes_of: MistakesOf) -> None:
    """Neither keys of channels nor of tokens are repeated."""
    lines = mistakes_of(
        '[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["canary-one\\n"]\n'
        + TOKEN.replace("sk-t", "sk-canary two")
        + "quota = 1"
    )

    assert len(lines) == 2
    assert not [line for line in lines if "canary" in line]
