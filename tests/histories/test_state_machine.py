"""The whole engine against a dict, in any order of steps hypothesis can think of, shrunk to the shortest that fails.

The seeded workloads of tests/crash go deeper; this one finds the shortest history.
"""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.crash.fault_filesystem import Fault
from tests.crash.rigs import FAULTS
from tests.crash.session import Session, conditions
from tests.crash.workload import COLOURS, DIMENSION, Step

from pykyro.model.filter import Exact
from pykyro.model.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from pykyro.model.types import Document, Scope

ids = st.sampled_from((1, 2, 3, 2**32 + 1, 2**32 + 2, 2**64 - 1))
colours = st.sampled_from(COLOURS)
scopes = st.builds(Scope, st.sampled_from((None, 0, 1)), st.sampled_from(("", "n1")))
public = st.fixed_dictionaries({}, optional={"colour": colours, "text": st.just("x" * 600)})
vectors = st.lists(st.integers(0, 5), min_size=3, max_size=3).map(
    lambda head: np.array([1.0, *head, *[0.0] * (DIMENSION - 4)], dtype=np.float32)
)
documents = st.builds(
    lambda doc_id, vector, entries, scope: Document(
        doc_id, vector, entries | scope.constraints, scope.tenant
    ),
    ids,
    vectors,
    public,
    scopes,
)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Put, documents),
    st.builds(Delete, ids, scopes),
    st.builds(UpdateMetadata, ids, public, st.booleans(), scopes),
    st.builds(DeleteMany, st.lists(ids, max_size=4).map(tuple), scopes),
    st.builds(DeleteMatching, st.builds(Exact, st.just("colour"), colours), scopes),
)
losses = st.one_of(
    st.sampled_from(("all-lost", "all-kept")), st.integers(0, 2**16).map(lambda seed: f"random:{seed}")
)


class EngineMachine(RuleBasedStateMachine):
    """Steps of a Session; a step that meets a disk error leaves the oracle knowing less, as for the seeded rigs."""

    @initialize(seed=st.integers(0, 11))
    def begin(self, seed: int) -> None:
        self.conditions = conditions(seed)
        self.conditions.__enter__()
        self.session = Session(seed)

    def teardown(self) -> None:
        if hasattr(self, "conditions"):
            self.conditions.__exit__(None, None, None)

    @rule(group=st.lists(operations, min_size=1, max_size=5))
    def commit(self, group: list[Operation]) -> None:
        self.session.run(Step("commit", tuple(group)))

    @rule(kind=st.sampled_from(("flush", "snapshot", "maintain", "maintain", "sync", "restart", "kill")))
    def step(self, kind: str) -> None:
        self.session.run(Step(kind))

    @rule(names=st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(tuple))
    def number_tenants(self, names: tuple[str, ...]) -> None:
        self.session.run(Step("tenants", names=names))

    @rule(seconds=st.sampled_from((0.5, 61.0, 700.0, -3600.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.session.run(Step("wait", seconds=seconds))

    @rule(loss=losses)
    def lose_power(self, loss: str) -> None:
        self.session.lose_power(loss)

    @precondition(lambda self: not self.session.disk.faults)
    @rule(fault=st.sampled_from(sorted(FAULTS)), after=st.integers(0, 12))
    def break_the_disk(self, fault: str, after: int) -> None:
        template = FAULTS[fault]
        at = len(self.session.disk.calls) + after
        self.session.disk.faults = [
            Fault(at, template.kind, template.errno, template.lasting, template.calls)
        ]

    @precondition(lambda self: self.session.disk.faults)
    @rule()
    def mend_the_disk(self) -> None:
        self.session.disk.heal()

    @invariant()
    def shows_what_was_acknowledged(self) -> None:
        if hasattr(self, "session"):
            self.session.check()


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=int(os.environ.get("KYRODB_MODEL_EXAMPLES", "100")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
