"""Which of several servers a client sends a call to. Knows neither threads nor an event loop.

One of the servers leads and takes writes, the others follow its archive. A client asks all of them who leads
(`Health`) before its first call, and again when what it knows turns out to be wrong:

    write     the leader. When it is away or leads no more, all are asked again.
    read      any server, by turns. One that is away rests for a growing time. While a write of this client is so
              young that followers will not have it, the leader first. What a follower does not find, the leader is
              asked for.
    about     (collections, settings, health) the leader, and any other while that is away.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from pykyro.client.calls import ClientCall
from pykyro.client.own_writes import OwnWrites
from pykyro.client.status import Failure
from pykyro.model.errors import FailedPrecondition, KyroError, Unavailable
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS
from pykyro.system.backoff import pause_s

READS: Final = frozenset(
    ("Query", "BulkQuery", "Search", "BulkSearch", "Scroll", "Count", "Sample", "Facets")
)
ABOUT: Final = frozenset(("Health", "Metrics", "GetConfig", "ListCollections", "DescribeCollection"))
ASK_S: Final = 1.0
"""Longest wait for the answers of all servers to the question who leads."""
SETTLING_S: Final = 2.0
"""Younger writes are read at the leader: the lag of an archive and a follower's look for news, by default."""
_ELSEWHERE_S: Final = 5.0
"""A read that has no answer by then is made at another server, while there is one."""
_REST_S: Final = 1.0
_REST_S_MAX: Final = 30.0
_ASKED_MAX: Final = 3
"""How often one call asks who leads because a server refused it."""
_AWAY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True, slots=True)
class Standing:
    """What one server said about itself."""

    role: int
    epoch: int

    @classmethod
    def of(cls, payload: bytes) -> Standing:
        """From the bytes of a HealthResponse."""
        response = pb.HealthResponse.FromString(payload)
        return cls(response.role, response.archive_epoch)

    @property
    def leads(self) -> bool:
        """Whether it takes writes. A server that does not know the question is older than followers are."""
        return self.role in (pb.HealthResponse.ROLE_LEADER, pb.HealthResponse.ROLE_UNKNOWN)


class Route:
    """What a client knows of its servers, which are numbered. Any thread may call any method: the next call finds out
    what is old."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names: Final = tuple(names)
        self.leader: int | None = None if len(names) > 1 else 0
        self.asks = len(names) > 1
        """Whether nobody has been asked yet."""
        self._standings: Sequence[Standing | None] = [None] * len(names)
        self._epoch = 0
        self._rests: list[tuple[float, int]] = [(0.0, 0)] * len(names)
        """Until when each rests, and how often in a row it was away."""
        self._turns = itertools.count(random.randrange(len(names)))
        self._own: dict[str, OwnWrites] = {}

    @property
    def several(self) -> bool:
        return len(self.names) > 1

    def own_writes(self, collection: str) -> OwnWrites:
        """The writes of this client to a collection, "" for `default`."""
        return self._own.setdefault(collection, OwnWrites())

    def forget_positions(self) -> None:
        """The history is another: what was noted in the one before names other writes."""
        for written in list(self._own.values()):
            written.forget_floor()

    def learn(self, standings: Sequence[Standing | None]) -> None:
        """What all servers said, None of one that did not answer. Raises FailedPrecondition when two of them lead."""
        self.asks = False
        for at, standing in enumerate(standings):
            self.came_back(at) if standing is not None else self.rest(at)
        self._standings = standings
        leaders = [(one.epoch, at) for at, one in enumerate(standings) if one is not None and one.leads]
        if not leaders:
            self.leader = None
            return
        epoch, leader = max(leaders)
        same = [self.names[at] for other, at in leaders if other == epoch]
        if len(same) > 1:
            self.asks = True
            raise FailedPrecondition(
                f"{' and '.join(same)} both take writes under epoch {epoch}, so they are not one database: give the "
                "addresses of a leader and of the followers of its archive"
            )
        if self._epoch and epoch > self._epoch:
            self.forget_positions()
        # A leader of an older epoch has not heard yet that it leads no more.
        self.leader = leader if epoch >= self._epoch else None
        self._epoch = max(epoch, self._epoch)

    def refuses_all(self, at: int, *, idempotent: bool) -> bool:
        """Whether this server is known to refuse writes, so that the refused one may be made elsewhere. One that was
        superseded may have written it to its own disk before it found out."""
        standing = self._standings[at]
        return (
            standing is not None
            and not standing.leads
            and (idempotent or standing.role == pb.HealthResponse.ROLE_FOLLOWER)
        )

    def readers(self) -> list[int]:
        """All servers, in the order in which a read tries them."""
        count, now_s = len(self.names), time.monotonic()
        first = next(self._turns)
        turn = [(first + step) % count for step in range(count)]
        turn.sort(key=lambda at: self._rests[at][0] > now_s)
        written_s = max((written.noted_s for written in list(self._own.values())), default=-1e9)
        return self._leader_first(turn) if now_s - written_s < SETTLING_S else turn

    def leader_seems_there(self) -> bool:
        """Whether the leader is known, and what was asked of it last had an answer."""
        return self.leader is not None and self._rests[self.leader][1] == 0

    def leader_first(self) -> list[int]:
        """All servers, the leader before all others."""
        return self._leader_first(self.readers())

    def _leader_first(self, turn: list[int]) -> list[int]:
        return sorted(turn, key=lambda at: at != self.leader)

    def rest(self, at: int) -> None:
        """This server is away: others are asked before it for a while."""
        until_s, failures = self._rests[at]
        now_s = time.monotonic()
        if until_s <= now_s:
            failures += 1
            self._rests[at] = (now_s + pause_s(failures, _REST_S, _REST_S_MAX), failures)

    def came_back(self, at: int) -> None:
        """This server answered."""
        self._rests[at] = (0.0, 0)

    def nobody(self) -> Unavailable:
        """What a write is told while no server takes it."""
        states = ", ".join(
            f"{name} {_told(standing)}" for name, standing in zip(self.names, self._standings, strict=True)
        )
        return Unavailable(
            f"no server takes writes now ({states}): if the leader is lost, kyrodb promote makes a follower the "
            "leader"
        )


def _told(standing: Standing | None) -> str:
    if standing is None:
        return "does not answer"
    if standing.role == pb.HealthResponse.ROLE_FOLLOWER:
        return f"follows epoch {standing.epoch}"
    return (
        f"was superseded in epoch {standing.epoch}" if not standing.leads else f"led epoch {standing.epoch}"
    )


class Trip:
    """One call on its way: ask while `asks`, go to `next_server`, report how that went."""

    def __init__(self, route: Route, rpc: str, *, idempotent: bool, one_answer: bool) -> None:
        self._route = route
        self._reads = rpc in READS
        self._writes = not self._reads and rpc not in ABOUT
        self._idempotent = idempotent
        self._one_answer = one_answer
        self._left: list[int] = []
        self._refused_by: int | None = None
        self._refusal: KyroError | None = None
        self._asked = 0
        self._cut = route.several and self._writes and idempotent
        """Whether the next attempt at a write is to leave time for another: its leader may stand still for ever."""
        self.asks = route.asks or (self._writes and not route.leader_seems_there())
        """Whether all servers are to be asked who leads before the call goes on."""

    def learn(self, standings: Sequence[Standing | None]) -> None:
        """What they said. Raises FailedPrecondition."""
        self.asks = False
        self._route.learn(standings)

    def next_server(self) -> int | Unavailable:
        """Where to go now, or why there is nowhere to go at this moment. Raises what a server refused the call with
        when no other could do better."""
        route = self._route
        if not route.several:
            return 0
        if self._writes:
            return self._leader()
        if self._refusal is not None:
            # Only the leader can know better; while it is away the follower's word stands.
            refusal, self._refusal = self._refusal, None
            if route.leader is None or route.leader == self._refused_by:
                raise refusal
            self._left = []
            return route.leader
        if not self._left:
            self._left = route.readers() if self._reads else route.leader_first()
        return self._left.pop(0)

    def _leader(self) -> int | Unavailable:
        leader, refusal, by = self._route.leader, self._refusal, self._refused_by
        self._refusal = None
        known = by is not None and self._route.refuses_all(by, idempotent=self._idempotent)
        if refusal is not None and not known:
            raise refusal
        if leader is None:
            self.asks = True
            return self._route.nobody()
        return leader

    def timeout_s(self, remaining_s: float) -> float:
        """The time for the next attempt: all there is, unless somebody else could answer."""
        if self._cut:
            return remaining_s / 2
        if not self._left:
            return remaining_s
        return min(remaining_s / 2, _ELSEWHERE_S) if self._one_answer else remaining_s / 2

    def succeeded(self, at: int) -> None:
        if self._route.several:
            self._route.came_back(at)

    def goes_elsewhere(self, at: int, failure: Failure) -> bool:
        """Whether the call is to be made at another server at once, `asks` permitting, after this failure."""
        route = self._route
        if not route.several:
            return False
        if failure.code in _AWAY:
            if "min_position" not in failure.details:
                route.rest(at)
            if self._writes:
                route.leader, self.asks = None, True
                late = failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
                cut, self._cut = self._cut, False
                return cut and late
            return bool(self._left)
        if self._writes:
            refused = failure.code is grpc.StatusCode.FAILED_PRECONDITION
        else:
            refused = failure.code is grpc.StatusCode.NOT_FOUND and at != route.leader
            if failure.code is grpc.StatusCode.FAILED_PRECONDITION and at == route.leader:
                # Its own position is behind a write of this client: it was restored to an earlier moment.
                route.forget_positions()
        if not refused or self._asked == _ASKED_MAX:
            return False
        self._refused_by, self._refusal = at, failure.error
        self._asked += 1
        self.asks = self._writes or route.leader is None
        return True


def trip_of(route: Route, call: ClientCall) -> Trip:
    """The way of a call to one of these servers."""
    one_answer = not METHODS[call.rpc].server_streaming
    return Trip(route, call.rpc, idempotent=call.idempotent, one_answer=one_answer)
