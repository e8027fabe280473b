"""Searches by words beside those of tantivy, bm25s and SQLite's FTS5 on the same texts, in turns in one run; what a
vector beside them costs, what inserts with words cost, and how large the postings are.

tantivy and bm25s take part when they are installed. The floor is tantivy, else FTS5.
"""

from __future__ import annotations

import importlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import pykyro
from benchmarks.report import Row, arguments, median_us, show

_DIMENSION = 16
_K = 10
_VOCABULARY = 60_000
_SYLLABLES = ["ka", "to", "mi", "re", "sol", "fa", "la", "ti", "no", "ve", "ru", "sa", "do", "ne", "li", "po"]
Asking = Callable[[str], object]


def words() -> list[str]:
    """A vocabulary, the most frequent words first and shortest."""
    found = []
    for number in range(_VOCABULARY):
        word, left = "", number
        while True:
            word += _SYLLABLES[left % len(_SYLLABLES)]
            left //= len(_SYLLABLES)
            if not left:
                break
        found.append(f"{word}{number % 10}")
    return found


def passages(count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Texts of 40 to 120 words that are as frequent as in a language (Zipf), and 200 queries of 3 of them."""
    known = np.array(words())
    shares = 1 / np.arange(1, _VOCABULARY + 1) ** 1.05
    shares /= shares.sum()
    texts = [" ".join(rng.choice(known, int(rng.integers(40, 121)), p=shares)) for _ in range(count)]
    return texts, [" ".join(rng.choice(known, 3, p=shares)) for _ in range(200)]


def tantivy_asking(texts: Sequence[str]) -> tuple[Asking, float] | None:
    """How tantivy is asked, and the seconds it took to index; None without it."""
    try:
        tantivy = importlib.import_module("tantivy")
    except ImportError:
        return None
    schema = (
        tantivy.SchemaBuilder()
        .add_text_field("body", stored=False)
        .add_integer_field("id", stored=True)
        .build()
    )
    index = tantivy.Index(schema)
    started_s = time.perf_counter()
    writer = index.writer(num_threads=1)
    for at, text in enumerate(texts):
        writer.add_document(tantivy.Document(body=text, id=at))
    writer.commit()
    writer.wait_merging_threads()
    taken_s = time.perf_counter() - started_s
    index.reload()
    searcher = index.searcher()

    def ask(query: str) -> object:
        hits = searcher.search(index.parse_query(query, ["body"]), _K).hits
        return [searcher.doc(address)["id"] for _, address in hits]

    return ask, taken_s


def bm25s_asking(texts: Sequence[str]) -> tuple[Asking, float] | None:
    """The same of bm25s."""
    try:
        bm25s = importlib.import_module("bm25s")
    except ImportError:
        return None
    started_s = time.perf_counter()
    retriever = bm25s.BM25(k1=1.2, b=0.75)
    retriever.index([text.split() for text in texts], show_progress=False)
    taken_s = time.perf_counter() - started_s

    def ask(query: str) -> object:
        return retriever.retrieve([query.split()], k=_K, show_progress=False, n_threads=1)

    return ask, taken_s


def fts5_asking(texts: Sequence[str]) -> tuple[Asking, float]:
    """The same of SQLite."""
    database = sqlite3.connect(":memory:")
    started_s = time.perf_counter()
    database.execute("CREATE VIRTUAL TABLE passages USING fts5(body)")
    database.executemany("INSERT INTO passages(rowid, body) VALUES (?, ?)", enumerate(texts))
    database.execute("INSERT INTO passages(passages) VALUES ('optimize')")
    taken_s = time.perf_counter() - started_s

    def ask(query: str) -> object:
        sought = " OR ".join(query.split())
        sql = "SELECT rowid, bm25(passages) FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?"
        return database.execute(sql, (sought, _K)).fetchall()

    return ask, taken_s


def stored(
    directory: Path, texts: Sequence[str], vectors: np.ndarray, text: str | None
) -> tuple[pykyro.Database, float]:
    """A database of these documents, and the seconds their inserts took."""
    database = pykyro.open(directory, dimension=_DIMENSION, text=text)
    started_s = time.perf_counter()
    for at in range(0, len(texts), 1000):
        some = range(at, min(at + 1000, len(texts)))
        database.insert_many([(one + 1, vectors[one], {"body": texts[one]}) for one in some])
    return database, time.perf_counter() - started_s


def postings_bytes(database: pykyro.Database) -> int:
    """Bytes of the index of words in all segments."""
    total = 0
    with database._in_use() as engine:
        for segment in engine._context.state.version.cold:
            names = [name for name in segment.file.section_names if name.startswith("words:")]
            total += sum(segment.file.section(name).nbytes for name in names)
    return total


def settled(database: pykyro.Database) -> None:
    """Return when nothing is sealed or merged any more."""
    database.flush()
    with database._in_use() as engine:
        while engine.merging or engine.stats().segments > 3:
            time.sleep(0.1)


def in_turns(asked: dict[str, Asking], queries: Sequence[str]) -> dict[str, float]:
    """Microseconds of a query of each, medians."""
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for query in queries:
        for name, ask in asked.items():
            started_s = time.perf_counter()
            ask(query)
            taken[name].append(time.perf_counter() - started_s)
    return {name: median_us(some) for name, some in taken.items()}


def rows(directory: Path, count: int) -> list[Row]:
    rng = np.random.default_rng(7)
    texts, queries = passages(count, rng)
    vectors = rng.standard_normal((count, _DIMENSION)).astype(np.float32)
    without, without_s = stored(directory / "without", texts, vectors, None)
    without.close()
    database, with_s = stored(directory / "with", texts, vectors, "body")
    settled(database)
    peers = {"FTS5": fts5_asking(texts), "bm25s": bm25s_asking(texts), "tantivy": tantivy_asking(texts)}
    there = {name: peer for name, peer in peers.items() if peer is not None}
    floor = "tantivy" if "tantivy" in there else "FTS5"
    asked: dict[str, Asking] = {name: peer[0] for name, peer in there.items()}
    asked["words"] = lambda query: database.search(text=query, k=_K)
    asked["vector"] = lambda query: database.search(vectors[hash(query) % count], k=_K)
    asked["both"] = lambda query: database.search(vectors[hash(query) % count], text=query, k=_K)
    found = in_turns(asked, queries)
    slower = max(found["words"], found["vector"])
    size = sum(map(len, texts))
    result = [
        Row(
            f"p50 by words, {floor} the floor",
            f"{found['words']:.0f} µs",
            f"{found[floor]:.0f} µs",
            found["words"] / found[floor],
            "2.0",
        ),
        Row(
            "p50 by both, the slower leg the floor",
            f"{found['both']:.0f} µs",
            f"{slower:.0f} µs",
            found["both"] / slower,
            "1.3",
        ),
        Row(
            "inserts with words, without the floor",
            f"{with_s:.1f} s",
            f"{without_s:.1f} s",
            with_s / without_s,
            "1.4",
        ),
        Row(
            "postings, the texts the floor",
            f"{postings_bytes(database) / 1e6:.1f} MB",
            f"{size / 1e6:.1f} MB",
            postings_bytes(database) / size,
            "0.6",
        ),
    ]
    result += [
        Row(
            f"p50 of {name}, {floor} the floor",
            f"{found[name]:.0f} µs",
            f"{found[floor]:.0f} µs",
            found[name] / found[floor],
            "",
        )
        for name in there
        if name != floor
    ]
    database.close()
    return result


def main() -> None:
    options = arguments(__doc__ or "", count=100_000)
    with tempfile.TemporaryDirectory() as directory:
        show(rows(Path(directory), options.count))


if __name__ == "__main__":
    main()
