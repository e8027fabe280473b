"""Scores by words are BM25 of all live documents, to the last bit, whatever was written, sealed, merged or lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.crash.clock import FakeClock
from tests.engine.opening import open_small, settle, vectors
from tests.engine.words.oracle import Oracle
from tests.longer import longer

from pykyro.engine.tiers import hot_tier, merged_metadata
from pykyro.engine.words import scoring
from pykyro.model.expiry import Expiry
from pykyro.model.filter import Exact
from pykyro.model.legs import Legs
from pykyro.model.requests import Delete, DeleteMatching, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import Document, Scope
from pykyro.model.words import WordsConfig

NOW_S = 1_700_000_000
CONFIG = WordsConfig(("title", "body"), "english", k1=1.4, b=0.6, stop_words=True)
ROWS = vectors(8)
WORDS = "fox foxes dog the lazy running run 東京都 京都 Café cafe'"[:-1].split()
QUERY_PARTS = [
    *WORDS,
    *("+fox", "-dog", "+run", "-京都", '"lazy dog"', '-"run fox"', '+"the fox"', "fo*", "-caf*", "+l*"),
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
QUERIES = st.lists(st.sampled_from(QUERY_PARTS), min_size=1, max_size=4).map(" ".join)
IDS = st.integers(1, 12)
TENANTS = st.sampled_from([None, None, 1, 2])


class AgainstTheDefinition(RuleBasedStateMachine):
    """`known` is what the documents are, by tenant and id."""

    @initialize(tenanted=st.booleans(), small=st.booleans())
    def begin(self, tenanted: bool, small: bool) -> None:
        self.directory = Path(mkdtemp())
        self.clock = FakeClock(NOW_S, tick_us=0)
        self.oracle = Oracle(CONFIG)
        self.known: dict[tuple[int | None, int], dict[str, str]] = {}
        self.expiries: dict[tuple[int | None, int], float] = {}
        self.tenanted = tenanted
        self.patches = [
            # Blocks of a few rows, merges that share what they do not change, hot tiers made anew at any size.
            mock.patch.object(scoring, "BLOCK_ROWS", 4 if small else scoring.BLOCK_ROWS),
            mock.patch.object(merged_metadata, "_SMALL_BYTES", 0 if small else merged_metadata._SMALL_BYTES),
            mock.patch.object(hot_tier, "_COMPACT_BYTES", 0 if small else hot_tier._COMPACT_BYTES),
        ]
        for patch in self.patches:
            patch.start()
        self.open()
        if tenanted:
            assert self.engine.tenant_indices(["a", "b"]) == {"a": 1, "b": 2}

    def open(self) -> None:
        self.engine = open_small(self.directory, clock=self.clock, words=CONFIG)

    def key(self, tenant: int | None, doc_id: int) -> tuple[int | None, int]:
        return (tenant if self.tenanted else None, doc_id)

    @rule(
        tenant=TENANTS,
        doc_ids=st.lists(IDS, min_size=1, max_size=6),
        title=TEXTS,
        body=TEXTS,
        kind=st.sampled_from("ab"),
        namespace=st.sampled_from(["", "n"]),
        expires=st.sampled_from([0, 0, 0, 30]),
    )
    def put(
        self,
        tenant: int | None,
        doc_ids: list[int],
        title: str,
        body: str,
        kind: str,
        namespace: str,
        expires: int,
    ) -> None:
        puts = []
        for at, doc_id in enumerate(doc_ids):
            key = self.key(tenant, doc_id)
            entries = {"title": title, "body": f"{body} {WORDS[at]}", "kind": kind}
            scope = Scope(key[0], namespace)
            self.known[key] = entries | ({"__ns": namespace} if namespace else {})
            self.expiries.pop(key, None)
            if expires:
                self.expiries[key] = self.clock.wall_us() / 1e6 + expires
            document = Document(doc_id, ROWS[doc_id % 8], entries | scope.constraints, key[0])
            puts.append(Put(document, expiry=Expiry(ttl_us=expires * 1_000_000) if expires else None))
        for answer in self.engine.commit(puts):
            assert not isinstance(answer, Exception)

    @rule(tenant=TENANTS, doc_id=IDS)
    def delete(self, tenant: int | None, doc_id: int) -> None:
        key = self.key(tenant, doc_id)
        self.engine.write(Delete(doc_id, Scope(key[0])))
        self.known.pop(key, None)

    @rule(tenant=TENANTS, kind=st.sampled_from("ab"))
    def delete_matching(self, tenant: int | None, kind: str) -> None:
        owner = self.key(tenant, 0)[0]
        self.engine.write(DeleteMatching(Exact("kind", kind), Scope(owner)))
        self.known = {k: e for k, e in self.known.items() if k[0] != owner or e["kind"] != kind}

    @rule(
        tenant=TENANTS,
        doc_id=IDS,
        body=TEXTS,
        merge=st.booleans(),
        key_name=st.sampled_from(["body", "kind"]),
    )
    def update(self, tenant: int | None, doc_id: int, body: str, merge: bool, key_name: str) -> None:
        key = self.key(tenant, doc_id)
        changes = {key_name: body if key_name == "body" else "b"}
        self.engine.write(UpdateMetadata(doc_id, changes, merge, Scope(key[0])))
        if key in self.known:
            own = {name: value for name, value in self.known[key].items() if name == "__ns" or merge}
            self.known[key] = {"kind": "", **own, **changes} if not merge else own | changes

    @rule()
    def seal(self) -> None:
        self.engine.flush()

    @rule()
    def merge(self) -> None:
        settle(self.engine)

    @rule(seconds=st.sampled_from([1, 40]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        if kill:
            copy = Path(mkdtemp())
            shutil.copytree(self.directory, copy, dirs_exist_ok=True)
            self.engine.close()
            shutil.rmtree(self.directory)
            self.directory = copy
        else:
            self.engine.close()
        self.open()

    @precondition(lambda self: self.known)
    @rule(
        tenant=TENANTS,
        query=QUERIES,
        k=st.integers(1, 14),
        kind=st.sampled_from([None, None, "a"]),
        namespace=st.sampled_from(["", "", "n"]),
    )
    def search(self, tenant: int | None, query: str, k: int, kind: str | None, namespace: str) -> None:
        now_s = self.clock.wall_us() / 1e6
        for key, at in list(self.expiries.items()):
            if at <= now_s:
                self.known.pop(key, None)
                del self.expiries[key]
        owner = self.key(tenant, 0)[0]
        documents = {doc_id: e for (who, doc_id), e in self.known.items() if who == owner}
        among = [
            doc_id
            for doc_id, entries in documents.items()
            if (kind is None or entries.get("kind") == kind)
            and (not namespace or entries.get("__ns") == namespace)
        ]
        condition = None if kind is None else Exact("kind", kind)
        request = SearchRequest(ROWS[0], k, filter=condition, scope=Scope(owner, namespace), legs=Legs(query))
        found = self.engine.search(request)
        assert [(hit.doc_id, hit.score) for hit in found.hits] == self.oracle.best(documents, query, k, among)
        assert found.matched == len(self.oracle.scores(documents, query, among))

    def teardown(self) -> None:
        for patch in getattr(self, "patches", []):
            patch.stop()
        if hasattr(self, "engine"):
            self.engine.close()
            shutil.rmtree(self.directory, ignore_errors=True)


TestAgainstTheDefinition = pytest.mark.timeout(300)(AgainstTheDefinition.TestCase)
TestAgainstTheDefinition.settings = settings(max_examples=longer(12), stateful_step_count=40, deadline=None)
