"""The arithmetic of balances, the same for every backend: setting aside, settling, granting. No I/O.

`granted = spent + reserved + available` holds after each step. `spent` passes `granted` only on unlimited accounts
and where more is withdrawn than was left.
"""

from collections.abc import Sequence

from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.policies.budgets import kind_of
from asgi_gateway.storage.records import Account, Balance, Reservation, Settlement

__all__ = ["AccountState", "check_amount", "check_settlement", "close", "correct", "set_aside"]


class AccountState:
    """The sums of one account while they are worked on.

    `declared` is what a file granted last, None if none did; `changed` is set by whatever changes a sum.
    """

    __slots__ = ("changed", "declared", "granted", "kind", "period", "reserved", "spent", "unlimited")

    def __init__(
        self,
        kind: str,
        granted: int = 0,
        spent: int = 0,
        reserved: int = 0,
        unlimited: bool = False,
        declared: int | None = None,
        *,
        period: str = "",
    ) -> None:
        self.kind = kind
        self.period = period
        self.granted = granted
        self.spent = spent
        self.reserved = reserved
        self.unlimited = unlimited
        self.declared = declared
        self.changed = False

    def grant(self, units: int) -> None:
        """Add to what was ever granted."""
        self.granted += units
        self.changed = True

    def declare(self, granted: int, *, unlimited: bool) -> None:
        """Grant what a file says: the first time that sum, later the difference to what the file said before."""
        self.granted = granted if self.declared is None else self.granted + granted - self.declared
        self.declared = granted
        self.unlimited = unlimited
        self.changed = True

    def limit(self, granted: int) -> None:
        """Grant this sum in all: what a budget says now."""
        if self.granted != granted:
            self.granted = granted
            self.changed = True

    def balance(self, account: Account) -> Balance:
        """The sums as a record."""
        return Balance(
            account=account,
            granted=self.granted,
            spent=self.spent,
            reserved=self.reserved,
            unlimited=self.unlimited,
        )


def check_amount(reservation: Reservation) -> None:
    """Raise `ValueError` for amounts that would make credit out of nothing."""
    if not 0 <= reservation.prompt_amount <= reservation.amount:
        raise ValueError(f"reservation {reservation.key}: 0 <= prompt_amount <= amount does not hold")


def check_settlement(settlement: Settlement) -> None:
    """Raise `ValueError` for a negative charge."""
    if settlement.charge < 0:
        raise ValueError(f"a charge is never negative: {settlement.charge}")


def set_aside(states: Sequence[AccountState], amount: int) -> None:
    """Reserve `amount` on every account, or raise `InsufficientQuota` and leave all as they are."""
    for done, state in enumerate(states):
        available = state.granted - state.spent - state.reserved
        if amount > available and not state.unlimited:
            for earlier in states[:done]:
                earlier.reserved -= amount
            raise _insufficient(state, amount, available)
        state.reserved += amount
        state.changed = True


def _insufficient(state: AccountState, amount: int, available: int) -> InsufficientQuota:
    whose = f"{state.kind}'s quota"
    if state.period:
        whose = f"{state.kind}'s budget for the {kind_of(state.period)} {state.period}"
    return InsufficientQuota(
        f"The {whose} does not cover this request: {amount} units needed, {max(available, 0)} of {state.granted} "
        f"available ({state.spent} spent, {state.reserved} reserved).",
        period=state.period,
    )


def close(states: Sequence[AccountState], amount: int, charge: int) -> int:
    """Give the reserved `amount` back and take `charge`, at most what each limited account has. Return what it took."""
    charged = charge
    for state in states:
        state.reserved -= amount
        if not state.unlimited:
            most = state.granted - state.spent - state.reserved
            if most < charged:
                charged = most if most > 0 else 0
    for state in states:
        state.spent += charged
        state.changed = True
    return charged


def correct(states: Sequence[AccountState], charged: int, charge: int) -> int:
    """Give back what was `charged`, and take `charge` instead, as `close` does. Return what it took."""
    for state in states:
        state.spent -= charged
    return close(states, 0, charge)
