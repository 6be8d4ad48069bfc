"""Periods are named by their calendar wherever clocks jump, and a budget is an account in each of them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_gateway.policies.budgets import Calendar, Periods, accounts_of, budget_accounts, end_of, kind_of, time_zone
from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import Account, Budget, Group, Token, User

PLAIN = Group(name="default")
ALICE = User(id=1, name="alice")
DEV = Token(id=7, name="dev", user_id=1, digest=b"")

ZONES = ["UTC", "Europe/Vienna", "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Asia/Kathmandu"]


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=time_zone(zone)).timestamp()


@pytest.mark.parametrize(
    ("zone", "moment", "names"),
    [
        ("UTC", "2026-11-25T12:00:00", ("2026-11-25", "2026-W48", "2026-11")),
        ("UTC", "2026-11-25T23:59:59.999", ("2026-11-25", "2026-W48", "2026-11")),
        ("UTC", "2026-11-26T00:00:00", ("2026-11-26", "2026-W48", "2026-11")),
        ("UTC", "2026-11-30T00:00:00", ("2026-11-30", "2026-W49", "2026-11")),
        ("UTC", "2027-01-01T00:00:00", ("2027-01-01", "2026-W53", "2027-01")),
        ("UTC", "2024-12-30T00:00:00", ("2024-12-30", "2025-W01", "2024-12")),
        ("Europe/Vienna", "2026-12-01T00:00:00", ("2026-12-01", "2026-W49", "2026-12")),
        ("America/Sao_Paulo", "2018-11-04T01:00:00", ("2018-11-04", "2018-W44", "2018-11")),
    ],
)
def test_a_moment_has_a_day_a_week_and_a_month(zone: str, moment: str, names: tuple[str, str, str]) -> None:
    """In the zone that is set; weeks are those of ISO 8601, of the year that has their Thursday."""
    assert Calendar(time_zone(zone)).periods(at(moment, zone)) == names


@pytest.mark.parametrize(
    ("period", "kind", "end"),
    [
        ("2026-11-25", "day", "2026-11-26"),
        ("2026-12-31", "day", "2027-01-01"),
        ("2026-W48", "week", "2026-11-30"),
        ("2026-W53", "week", "2027-01-04"),
        ("2026-11", "month", "2026-12-01"),
        ("2026-12", "month", "2027-01-01"),
        ("2028-02", "month", "2028-03-01"),
        ("2026-01", "month", "2026-02-01"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna"])
def test_a_period_ends_where_the_next_begins(period: str, kind: str, end: str, zone: str) -> None:
    """At midnight of the zone, with its offset."""
    ended = end_of(period, time_zone(zone))
    assert kind_of(period) == kind
    assert ended == datetime.fromisoformat(end).replace(tzinfo=time_zone(zone))


def test_a_day_on_which_clocks_jump_is_as_long_as_it_is() -> None:
    """In Vienna 23 hours in March and 25 in October; in São Paulo a day began at one."""
    vienna = ZoneInfo("Europe/Vienna")
    lengths = [
        end_of(day, vienna).timestamp() - end_of(before, vienna).timestamp()
        for before, day in (("2026-03-28", "2026-03-29"), ("2026-10-24", "2026-10-25"), ("2026-06-01", "2026-06-02"))
    ]
    assert lengths == [23 * 3600, 25 * 3600, 24 * 3600]
    begin = end_of("2018-11-03", ZoneInfo("America/Sao_Paulo"))
    assert begin.astimezone(UTC).isoformat() == "2018-11-04T03:00:00+00:00"


@settings(deadline=None)
@given(
    moments=st.lists(
        st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),  # noqa: DTZ001
        min_size=1,
        max_size=5,
    ),
    steps=st.lists(st.integers(0, 90_000), max_size=5),
    zone=st.sampled_from(ZONES),
)
def test_what_is_kept_is_what_a_new_calendar_says(moments: list[datetime], steps: list[int], zone: str) -> None:
    """For any moments in any order, each is before the end of its periods, and the one at the end is not."""
    calendar = Calendar(time_zone(zone))
    times = [moment.timestamp() for moment in moments]
    times += [times[-1] + step for step in steps]
    for now in times:
        periods = calendar.periods(now)
        assert periods == Calendar(time_zone(zone)).periods(now)
        assert periods.day == datetime.fromtimestamp(now, time_zone(zone)).date().isoformat()
        for period in periods:
            end = end_of(period, time_zone(zone)).timestamp()
            assert now < end
            assert period not in Calendar(time_zone(zone)).periods(end)


def test_days_weeks_and_months_have_no_gap() -> None:
    """Over years, the end of each period is in the next, and names are as many as the calendar has."""
    calendar = Calendar()
    day, names = date(2024, 1, 1), set()
    while day < date(2028, 1, 1):
        names |= set(calendar.periods(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))
        day += timedelta(days=1)
    kinds = [kind_of(name) for name in names]
    assert (kinds.count("day"), kinds.count("month")) == (1461, 48)
    assert kinds.count("week") == 209


@pytest.mark.parametrize("name", ["Europe/Wien", "", "../etc/passwd", "Europe", "utc+1"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    """Also a folder of the database, and a path out of it."""
    with pytest.raises(ValueError, match="no time zone"):
        time_zone(name)


def test_without_budgets_there_are_only_balances() -> None:
    """Nothing is looked up or made."""
    calendar = Calendar()
    accounts, budgets = accounts_of(ALICE, DEV, PLAIN, calendar, 0.0)
    assert accounts == (Account("user", 1), Account("token", 7))
    assert budgets is NO_BUDGETS
    assert accounts_of(ALICE, None, PLAIN, calendar, 0.0)[0] == (Account("user", 1),)


def test_each_limit_is_an_account_in_its_period() -> None:
    """Of token, user and group, each as far as it sets one; balances come first."""
    now = at("2026-11-25T12:00:00")
    user = User(id=1, name="alice", budget=Budget(month=300))
    token = Token(id=7, name="dev", user_id=1, digest=b"", budget=Budget(day=10, week=0))
    group = Group(name="a b", budget=Budget(day=1000))
    accounts, budgets = accounts_of(user, token, group, Calendar(), now)
    assert budgets == {
        Account("token", 7, "2026-11-25"): 10,
        Account("token", 7, "2026-W48"): 0,
        Account("user", 1, "2026-11"): 300,
        Account("group", "a b", "2026-11-25"): 1000,
    }
    assert accounts == (Account("user", 1), Account("token", 7), *budgets)
    assert accounts_of(user, None, PLAIN, Calendar(), now)[1] == {Account("user", 1, "2026-11"): 300}
    assert accounts_of(ALICE, None, group, Calendar(), now)[1] == {Account("group", "a b", "2026-11-25"): 1000}


def test_an_empty_budget_charges_no_account() -> None:
    """One that was written without a limit is as none."""
    assert budget_accounts("user", 1, Budget(), Periods("d", "w", "m")) == {}
