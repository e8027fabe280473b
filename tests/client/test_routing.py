"""Which of several servers a call goes to; test_several_servers.py has real ones."""

from __future__ import annotations

import grpc
import pytest

from pykyro.client.own_writes import OwnWrites, own_freshness
from pykyro.client.routing import Route, Standing, Trip
from pykyro.client.status import Failure
from pykyro.model.errors import FailedPrecondition, InvalidArgument, KyroError, NotFound, Unavailable
from pykyro.proto import kyrodb_pb2 as pb

LEADER = pb.HealthResponse.ROLE_LEADER
FOLLOWER = pb.HealthResponse.ROLE_FOLLOWER
SUPERSEDED = pb.HealthResponse.ROLE_SUPERSEDED


def failure(code: grpc.StatusCode, error: KyroError | None = None, details: str = "") -> Failure:
    return Failure(code, details, error or KyroError(details))


def route_of(*standings: Standing | None) -> Route:
    route = Route([f"server{at}:1" for at in range(len(standings))])
    route.learn(standings)
    return route


def trip(route: Route, rpc: str, *, idempotent: bool = True) -> Trip:
    return Trip(route, rpc, idempotent=idempotent, one_answer=True)


def test_a_client_of_one_server_asks_nobody() -> None:
    alone = trip(Route(["a:1"]), "Insert")
    assert not alone.asks
    assert alone.next_server() == 0
    assert alone.timeout_s(30) == 30
    assert not alone.goes_elsewhere(0, failure(grpc.StatusCode.UNAVAILABLE))


def test_writes_go_to_the_leader_and_reads_to_all_by_turns() -> None:
    route = route_of(Standing(FOLLOWER, 3), Standing(LEADER, 3), Standing(FOLLOWER, 3))
    assert {trip(route, "Insert").next_server() for _ in range(9)} == {1}
    assert {trip(route, "CreateCollection").next_server() for _ in range(9)} == {1}
    assert {trip(route, "GetConfig").next_server() for _ in range(9)} == {1}
    assert {trip(route, "Search").next_server() for _ in range(9)} == {0, 1, 2}
    route.own_writes("other").note(7)
    assert {trip(route, "Search").next_server() for _ in range(9)} == {1}, "followers will not have it"


def test_the_leader_of_the_larger_epoch_leads() -> None:
    assert route_of(Standing(LEADER, 1), Standing(LEADER, 2), Standing(SUPERSEDED, 5)).leader == 1
    route = route_of(Standing(LEADER, 1), Standing(LEADER, 2))
    route.learn([Standing(LEADER, 1), None])
    assert route.leader is None, "the other may be back at any moment"


def test_two_leaders_of_one_epoch_are_two_databases() -> None:
    with pytest.raises(FailedPrecondition, match="server0:1 and server1:1 both take writes under epoch 0"):
        route_of(Standing(LEADER, 0), Standing(LEADER, 0))


def test_a_read_tries_every_server_before_it_waits() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1), Standing(FOLLOWER, 1))
    read, met = trip(route, "Query"), []
    while True:
        at = read.next_server()
        assert isinstance(at, int)
        met.append(at)
        assert read.timeout_s(30) == (30 if len(met) == 3 else 5)
        if not read.goes_elsewhere(at, failure(grpc.StatusCode.UNAVAILABLE)):
            break
    assert sorted(met) == [0, 1, 2]
    route.came_back(2)
    assert {trip(route, "Query").next_server() for _ in range(6)} == {2}, "the others rest"


def test_a_follower_that_is_only_behind_does_not_rest() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
    read = trip(route, "Query")
    at = read.next_server()
    assert isinstance(at, int)
    assert read.goes_elsewhere(at, failure(grpc.StatusCode.UNAVAILABLE, details="min_position is 9"))
    assert {trip(route, "Query").next_server() for _ in range(4)} == {0, 1}


def test_what_a_follower_does_not_find_the_leader_is_asked_for() -> None:
    route = route_of(Standing(FOLLOWER, 1), Standing(LEADER, 1))
    missing = failure(grpc.StatusCode.NOT_FOUND, NotFound("no such collection"))
    read = trip(route, "Search")
    assert read.goes_elsewhere(0, missing)
    assert read.next_server() == 1
    assert not read.goes_elsewhere(1, missing)

    lost = route_of(Standing(FOLLOWER, 1), None)
    read = trip(lost, "Search")
    assert read.goes_elsewhere(0, missing)
    assert read.asks
    read.learn([Standing(FOLLOWER, 1), None])
    with pytest.raises(NotFound):
        read.next_server()


def test_a_refused_write_goes_to_whoever_leads_now() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
    write = trip(route, "Delete", idempotent=False)
    refused = failure(grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition("follows"))
    assert write.goes_elsewhere(0, refused)
    write.learn([Standing(FOLLOWER, 2), Standing(LEADER, 2)])
    assert write.next_server() == 1
    # A precondition that has nothing to do with who leads is the caller's.
    assert write.goes_elsewhere(1, refused)
    write.learn([Standing(FOLLOWER, 2), Standing(LEADER, 2)])
    with pytest.raises(FailedPrecondition):
        write.next_server()


def test_a_write_that_a_superseded_leader_may_have_written_is_not_made_twice() -> None:
    for idempotent in (True, False):
        route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
        write = trip(route, "Delete", idempotent=idempotent)
        assert write.goes_elsewhere(0, failure(grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition("no")))
        write.learn([Standing(SUPERSEDED, 2), Standing(LEADER, 2)])
        if idempotent:
            assert write.next_server() == 1
        else:
            with pytest.raises(FailedPrecondition):
                write.next_server()
        assert trip(route, "Delete", idempotent=False).next_server() == 1


def test_while_nobody_leads_a_write_waits_and_says_why() -> None:
    route = route_of(Standing(FOLLOWER, 4), None)
    write = trip(route, "Insert")
    assert write.asks
    write.learn([Standing(FOLLOWER, 4), None])
    nowhere = write.next_server()
    assert isinstance(nowhere, Unavailable)
    assert "server0:1 follows epoch 4, server1:1 does not answer" in str(nowhere)
    write.learn([Standing(LEADER, 5), None])
    assert write.next_server() == 0


def test_positions_of_a_lost_history_are_asked_for_no_more() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
    written = route.own_writes("")
    written.note(90)
    assert own_freshness(written, 0, 1.0) == own_freshness(written, 90, 1.0)
    route.learn([None, Standing(LEADER, 2)])
    assert own_freshness(written, 0, 1.0) is None
    written.note(70)
    fresh = own_freshness(written, 0, 0.5)
    assert fresh is not None
    assert (fresh.min_position, fresh.max_wait_s) == (70, 0.5)
    assert written.value == 90


def test_a_read_never_asks_for_less_than_its_caller_does() -> None:
    written = OwnWrites()
    written.note(5)
    fresh = own_freshness(written, 8, 1.0)
    assert fresh is not None
    assert fresh.min_position == 8
    with pytest.raises(InvalidArgument, match="min_position"):
        own_freshness(written, -1, 1.0)


def test_a_leader_that_stands_still_leaves_time_for_another_once() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
    late = failure(grpc.StatusCode.DEADLINE_EXCEEDED)
    write = trip(route, "Insert")
    assert write.next_server() == 0
    assert write.timeout_s(30) == 15
    assert write.goes_elsewhere(0, late)
    assert write.asks
    write.learn([None, Standing(LEADER, 2)])
    assert write.next_server() == 1
    assert write.timeout_s(14) == 14
    assert not write.goes_elsewhere(1, late)
    once = trip(route_of(Standing(LEADER, 1), None), "Delete", idempotent=False)
    assert once.timeout_s(30) == 30
    assert not once.goes_elsewhere(0, late), "it may have been done"


def test_a_write_asks_first_when_a_read_found_the_leader_away() -> None:
    route = route_of(Standing(LEADER, 1), Standing(FOLLOWER, 1))
    assert not trip(route, "Delete", idempotent=False).asks
    route.rest(0)
    assert trip(route, "Delete", idempotent=False).asks
    assert not trip(route, "Query").asks
