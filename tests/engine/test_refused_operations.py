"""Whatever is wrong with one operation is that operation's alone: the others of its group are acknowledged, and the
log never hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.engine.opening import DIMENSION, fill, open_small, put, vectors

from pykyro.engine import resolve, write_path
from pykyro.engine.engine import Engine
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.filter import Exact
from pykyro.model.limits import METADATA_BYTES_MAX, METADATA_ENTRIES_MAX, METADATA_KEY_BYTES_MAX
from pykyro.model.requests import Ack, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Document, Scope
from pykyro.storage.wal import records
from pykyro.storage.wal import writer as wal_writer

ROWS = vectors(8)


class _Failing(Mapping[str, str]):
    """Metadata that cannot be read to its end."""

    def __getitem__(self, key: str) -> str:
        raise OSError("the source is gone")

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1


BAD: dict[str, Operation] = {
    "half a character": put(2, ROWS[2], text="\ud800"),
    "half a character in a key": Put(Document(2, ROWS[2], {"\udfff": "x"})),
    "an id above 64 bits": put(2**64, ROWS[2]),
    "a negative id": put(-1, ROWS[2]),
    "metadata that is no text": Put(Document(2, ROWS[2], {"a": 1})),  # type: ignore[dict-item]
    "keys that cannot be ordered": Put(Document(2, ROWS[2], {"a": "1", 2: "b"})),  # type: ignore[dict-item]
    "metadata that raises": Put(Document(2, ROWS[2], _Failing())),
    "a short vector": put(2, ROWS[2][:3]),
    "a matrix": put(2, ROWS),
    "no array": put(2, None),  # type: ignore[arg-type]
    "an update that raises": UpdateMetadata(1, _Failing(), merge=True),
    "ids that are none": DeleteMany([[]]),  # type: ignore[list-item]
    "no operation": object(),  # type: ignore[dict-item]
}


def _is_well(engine: Engine) -> None:
    stats = engine.stats()
    assert stats.refusing_writes == ""
    assert stats.breaker_state == 0
    assert stats.wal_writes_failed == 0
    assert isinstance(engine.write(put(99, ROWS[0])), Ack)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_an_operation_that_cannot_be_written_is_refused_alone(tmp_path: Path, bad: Operation) -> None:
    engine = open_small(tmp_path / "data")
    first, refused, second = engine.commit([put(1, ROWS[1]), bad, put(3, ROWS[3])])
    assert isinstance(first, Ack)
    assert isinstance(refused, KyroError)
    assert isinstance(second, Ack)
    assert type(bad).__name__ in str(refused) or "vector" in str(refused)
    _is_well(engine)
    assert engine.get(2) is None
    assert engine.stats().documents == 3
    engine.close()
    again = open_small(tmp_path / "data")
    assert again.stats().documents == 3
    again.close()


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), KeyError("x"), RecursionError()], ids=repr)
@pytest.mark.parametrize("place", ["encode_records", "encode_metadata", "check_updated"])
def test_a_fault_while_one_operation_is_prepared_is_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    engine = open_small(tmp_path / "data", documents_max=3)
    engine.write(put(1, ROWS[1], a="1"))
    module = write_path if place == "encode_records" else resolve
    real: Callable[..., object] = getattr(module, place)
    calls = iter(range(100))

    def faulty(*given: object, **named: object) -> object:
        if next(calls) == (0 if place == "check_updated" else 1):
            raise error
        return real(*given, **named)

    monkeypatch.setattr(module, place, faulty)
    answers = engine.commit(
        [put(2, ROWS[2]), put(3, ROWS[3]), UpdateMetadata(1, {"b": "2"}, merge=True), put(4, ROWS[4])]
    )
    failed = [at for at, answer in enumerate(answers) if isinstance(answer, KyroError)]
    # What was refused takes no room either: the last document is let in for it.
    assert failed == ([2, 3] if place == "check_updated" else [1])
    monkeypatch.undo()
    assert engine.write(UpdateMetadata(1, {"c": "3"}, merge=True)).existed == 1
    assert engine.stats().refusing_writes == ""
    assert engine.stats().breaker_state == 0
    engine.close()


def test_a_fault_before_the_log_was_touched_refuses_no_later_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was, memory is not behind the log, and the disk has done nothing wrong."""
    engine = open_small(tmp_path / "data")
    engine.write(put(1, ROWS[1]))

    def out_of_memory(*given: object, **named: object) -> None:
        raise MemoryError

    for owner, place in ((engine._context.writes, "_write"), (engine._context.log, "append")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, place, out_of_memory)
            with pytest.raises(MemoryError):
                engine.write(put(2, ROWS[2]))
        _is_well(engine)
    with monkeypatch.context() as patched:
        patched.setattr(wal_writer, "encode_frame", out_of_memory)
        with pytest.raises(MemoryError):
            engine.write(put(2, ROWS[2]))
    _is_well(engine)
    assert engine.get(2) is None
    engine.close()
    again = open_small(tmp_path / "data")
    assert again.stats().documents == 2
    again.close()


def test_merges_stop_at_the_bound_of_metadata_and_hurt_nobody_else(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, ROWS[1], **{NAMESPACE_KEY: "n"}))
    piece = "x" * (METADATA_BYTES_MAX // 4 - 8)
    for at in range(4):
        assert engine.write(UpdateMetadata(1, {f"key{at}": piece}, merge=True)).existed == 1
    for _ in range(70):
        refused, other = engine.commit(
            [UpdateMetadata(1, {"key4": piece}, merge=True), UpdateMetadata(1, {"key0": piece}, merge=True)]
        )
        assert isinstance(refused, InvalidArgument)
        assert refused.field == "metadata"
        assert f"the maximum is {METADATA_BYTES_MAX}" in str(refused)
        assert isinstance(other, Ack)
    _is_well(engine)
    found = engine.get(1, Scope(namespace="n"))
    assert found is not None
    assert set(found.metadata) == {"key0", "key1", "key2", "key3"}
    engine.close()


def test_merges_of_one_group_count_each_other(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, ROWS[1]))
    half = "x" * (METADATA_BYTES_MAX // 2 + 1)
    answers = engine.commit([UpdateMetadata(1, {name: half}, merge=True) for name in "ab"])
    assert [type(answer) for answer in answers] == [Ack, InvalidArgument]
    engine.close()


def test_the_bounds_hold_exactly_and_leave_out_reserved_entries(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, ROWS[1], **{NAMESPACE_KEY: "n" * 100}))
    most = {f"k{at:04}": "" for at in range(METADATA_ENTRIES_MAX)}
    engine.write(UpdateMetadata(1, most, merge=True))
    with pytest.raises(InvalidArgument, match=f"{METADATA_ENTRIES_MAX + 1} entries"):
        engine.write(UpdateMetadata(1, {"one more": ""}, merge=True))
    with pytest.raises(InvalidArgument, match=f"key of {METADATA_KEY_BYTES_MAX + 1} bytes"):
        engine.write(UpdateMetadata(1, {"k" * (METADATA_KEY_BYTES_MAX + 1): ""}))
    with pytest.raises(InvalidArgument, match=f"{METADATA_BYTES_MAX + 1} bytes"):
        engine.write(UpdateMetadata(1, {"k": "v" * METADATA_BYTES_MAX}))
    assert engine.write(UpdateMetadata(1, {"k": "é" * ((METADATA_BYTES_MAX - 1) // 2)})).existed == 1
    engine.close()


def test_a_document_that_has_too_much_from_before_can_be_made_smaller(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    big = {"a": "x" * METADATA_BYTES_MAX, "b": "y" * 1000}
    engine.write(Put(Document(1, ROWS[1], big)))
    with pytest.raises(InvalidArgument, match="the maximum is"):
        engine.write(UpdateMetadata(1, {"c": "z"}, merge=True))
    assert engine.write(UpdateMetadata(1, {"b": "y" * 500}, merge=True)).existed == 1
    assert engine.write(UpdateMetadata(1, {"a": ""}, merge=True)).existed == 1
    assert engine.write(UpdateMetadata(1, {"c": "z"}, merge=True)).existed == 1
    engine.close()


def test_a_frame_that_no_log_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(200), metadata={"all": "yes"})
    size = len(wal_writer.encode_records([records.DeleteRecord(at) for at in range(200)], tenanted=False))
    monkeypatch.setattr(write_path, "WAL_FRAME_BODY_BYTES_MAX", size)
    for operation in (DeleteMany(range(1, 201)), DeleteMatching(Exact("all", "yes"))):
        refused, stored = engine.commit([operation, put(1, ROWS[1], all="yes")])
        assert isinstance(refused, ResourceExhausted)
        assert f"{size} bytes" in str(refused)
        assert isinstance(stored, Ack)
    assert engine.write(DeleteMany(range(1, 200))).existed == 199
    _is_well(engine)
    engine.close()


def test_a_group_that_comes_to_much_is_written_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small(tmp_path / "data")
    engine._context.memory.group_bytes_max = 3000
    engine._context.memory.ask_from = 1 << 40  # or asking would set the bound anew
    writes: list[int] = []
    append = engine._context.log.append

    def noted(contents: list[bytes]) -> list[int]:
        writes.append(sum(map(len, contents)))
        return append(contents)

    monkeypatch.setattr(engine._context.log, "append", noted)
    operations: list[Operation] = [put(at, ROWS[0], text="x" * 1000) for at in range(1, 11)]
    operations.insert(5, put(2**64, ROWS[0]))
    answers = engine.commit(operations)
    assert [at for at, answer in enumerate(answers) if not isinstance(answer, Ack)] == [5]
    assert len(writes) == 4
    assert max(writes) < 3000 + 1200
    lsns = [answer.lsn for answer in answers if isinstance(answer, Ack)]
    assert lsns == sorted(set(lsns))
    assert engine.stats().documents == 10
    engine.close()


def test_numbers_of_numpy_are_ids(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(Put(Document(int(np.uint64(2**63)), np.ones(DIMENSION, np.float32), {np.str_("k"): "v"})))
    found = engine.get(2**63)
    assert found is not None
    assert found.metadata == {"k": "v"}
    engine.close()
