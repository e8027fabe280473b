"""Accounts of the budget: what one kind of holder has in memory, in bytes.

An account is shared by everybody of its kind; each holder has a charge of its own and says how much it holds.
Charging never fails: what is under way finishes. Whether something may begin is asked of the budget before.
"""

from __future__ import annotations

from threading import RLock
from types import TracebackType
from typing import Final

TALLY_SLACK_BYTES: Final = 256 << 10
"""What a tally may hold beyond what is charged."""


class Total:
    """The sum of all accounts, kept as they change, so that reading it is reading one number."""

    __slots__ = ("lock", "used")

    def __init__(self) -> None:
        # Of the kind that its owner may take again: a charge may be given back by a finalizer, which the
        # interpreter runs in the middle of anything, another charge included.
        self.lock = RLock()
        self.used = 0


class Account:
    """What all holders of one kind have. Any thread may call any method."""

    __slots__ = ("_total", "holders", "name", "used")

    def __init__(self, name: str, total: Total) -> None:
        self.name = name
        self.holders = 0
        """How many share it, where they count themselves."""
        self.used = 0
        """Bytes charged at this moment."""
        self._total = total

    def add(self, count: int) -> None:
        """Charge so many bytes more, or fewer when negative. About 0.2 us."""
        total = self._total
        with total.lock:
            self.used += count
            total.used += count

    def charge(self, count: int = 0) -> Charge:
        """A holder of this account that starts with so many bytes."""
        charge = Charge(self, count)
        if count:
            self.add(count)
        return charge


class Charge:
    """The share of one holder. Its owner calls it, one thread at a time. As a context it is given back at the end."""

    __slots__ = ("_account", "used")

    def __init__(self, account: Account, used: int) -> None:
        self._account = account
        self.used = used
        """Bytes it has at this moment."""

    def set(self, count: int) -> None:
        """Hold exactly so many bytes from now on."""
        more = count - self.used
        if more:
            self.used = count
            self._account.add(more)

    def add(self, count: int) -> None:
        """Hold so many bytes more."""
        self.used += count
        self._account.add(count)

    def give_back(self) -> None:
        """Hold nothing. May be called again."""
        self.set(0)

    def __enter__(self) -> Charge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


class FleetingCharge(Charge):
    """The share of a holder that passes from hand to hand: it is given back with the last reference to it."""

    __slots__ = ()

    def __del__(self) -> None:
        self.give_back()


class Tally:
    """The share of a holder on one thread that holds a little more or less some thousand times a second.

    It counts in `held`, an attribute, and calls `settle` when that is TALLY_SLACK_BYTES away from `charged`.
    """

    __slots__ = ("_account", "charged", "held")

    def __init__(self, account: Account) -> None:
        self._account = account
        self.held = 0
        """Bytes that are held."""
        self.charged = 0
        """Those of them that are charged."""

    def settle(self) -> None:
        """Charge what is held."""
        more = self.held - self.charged
        self.charged += more
        self._account.add(more)
