"""A reader beside the writer finds documents by words, with the writer's scores; what is elsewhere it refuses."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.engine.remote.postgres import Postgres

import pykyro
from pykyro import FailedPrecondition
from pykyro.embedded.collections import Database

WORDS = ("fox", "dog", "disk", "sealed", "log", "full", "quick")


def answers(database: Database) -> list[list[tuple[object, float]]]:
    queries = ("fox dog", "disk -fox", '"quick fox"', "se* full")
    return [[(hit.id, hit.score) for hit in database.search(text=query, k=30)] for query in queries]


def test_words_are_the_same_for_a_reader(tmp_path: Path) -> None:
    rng, path = random.Random(1), tmp_path / "data"
    with (
        pykyro.open(path, dimension=3, text="body", background=False) as writer,
        pykyro.open(path, dimension=3, read_only=True) as reader,
    ):
        for turn in range(60):
            for _ in range(5):
                body = " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))
                writer.insert(rng.randint(1, 40), [1, rng.random(), rng.random()], {"body": body})
            writer.delete(rng.randint(1, 40))
            match rng.randint(0, 6):
                case 0:
                    writer.flush()
                case 1:
                    writer.compact()
                case _:
                    pass
            assert answers(reader) == answers(writer), turn
            near = [
                [hit.id for hit in one.search([1, 0.5, 0.5], text="fox", k=5)] for one in (reader, writer)
            ]
            assert near[0] == near[1]
        with pytest.raises(FailedPrecondition, match="read_only"):
            reader.compact()


def test_a_reader_refuses_a_directory_whose_documents_are_elsewhere(
    tmp_path: Path, postgres: Postgres
) -> None:
    services, path = postgres.fresh(), tmp_path / "data"
    with pykyro.open(path, dimension=3, cold_tier="postgres", cold_tier_services=services) as writer:
        writer.insert(1, [1, 2, 3])
        with pytest.raises(FailedPrecondition, match="its sealed documents are in the table"):
            pykyro.open(path, dimension=3, read_only=True)
        assert writer.count() == 1
