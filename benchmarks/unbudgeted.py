"""kyrodb_server that charges nothing to its budget of memory: what benchmarks/budget.py compares with. Not for use.

The budget then refuses nothing, and its parts on /metrics say nothing true. What the code works out before it
charges, such as the size of an answer, it still works out.
"""

from __future__ import annotations

import sys
from typing import Any

from pykyro.cli.kyrodb_server import main
from pykyro.memory.account import Account, Charge
from pykyro.memory.budget import MemoryBudget

_CHARGING = ((Account, ("add",)), (Charge, ("set", "add", "give_back")), (MemoryBudget, ("admit",)))


def charge_nothing() -> None:
    """Take the work out of every method that charges or asks for room."""
    for owner, methods in (*_CHARGING, (MemoryBudget, ("has_room", "reserved"))):
        for method in methods:
            if not callable(getattr(owner, method, None)):
                raise SystemExit(f"{owner.__name__}.{method} is gone: say here what took its place")
    for owner, methods in _CHARGING:
        for method in methods:
            setattr(owner, method, lambda *arguments, **named: None)

    def has_room(*arguments: Any, **named: Any) -> bool:
        return True

    def reserved(self: MemoryBudget, name: str, *arguments: Any, **named: Any) -> Charge:
        return Charge(self.account(name), 0)

    setattr(MemoryBudget, "has_room", has_room)  # noqa: B010
    setattr(MemoryBudget, "reserved", reserved)  # noqa: B010


if __name__ == "__main__":
    charge_nothing()
    sys.exit(main([]))
