"""The data in examples/sample: the files agree with each other, and the questions find their answers."""

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scripts.make_sample import MAX_CHARS, MIN_CHARS, opening_paragraphs, read_questions

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sample"
DIMENSION = 384
# Rounding to float16 moves a component by at most 2**-11 of its value, and the length by no more than that.
FLOAT16_ROUNDING = 2.0**-11
# 243 of 255 when the sample was made; the margin is for the order in which a processor adds up.
EXPECTED_RECALL_AT_10 = 0.94


def load_passages() -> list[dict[str, int | str]]:
    with gzip.open(SAMPLE / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_questions() -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text("utf-8").splitlines()]


def load_vectors(name: str) -> npt.NDArray[np.float16]:
    vectors: npt.NDArray[np.float16] = np.load(SAMPLE / name, allow_pickle=False)
    return vectors


def unit_vectors(name: str) -> npt.NDArray[np.float32]:
    vectors = load_vectors(name).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_each_passage_and_each_question_has_a_vector() -> None:
    assert load_vectors("passages.f16.npy").shape == (len(load_passages()), DIMENSION)
    assert load_vectors("questions.f16.npy").shape == (len(load_questions()), DIMENSION)


@pytest.mark.parametrize("name", ["passages.f16.npy", "questions.f16.npy"])
def test_vectors_are_finite_and_of_unit_length_within_float16_rounding(name: str) -> None:
    vectors = load_vectors(name)
    assert vectors.dtype == np.float16
    assert np.isfinite(vectors).all()
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=0, atol=FLOAT16_ROUNDING)


def test_ids_count_from_one_and_names_are_unique() -> None:
    passages = load_passages()
    assert [passage["id"] for passage in passages] == list(range(1, len(passages) + 1))
    assert len({passage["name"] for passage in passages}) == len(passages)


def test_passage_fields_hold_what_the_readme_says() -> None:
    for passage in load_passages():
        assert passage.keys() == {"id", "name", "kind", "module", "text", "length"}
        assert passage["kind"] in {"module", "class", "function", "method"}
        text = passage["text"]
        assert isinstance(text, str)
        assert passage["length"] == str(len(text))
        assert MIN_CHARS <= len(text) <= MAX_CHARS


def test_questions_are_distinct_name_a_passage_and_include_paraphrases() -> None:
    names = {str(passage["name"]) for passage in load_passages()}
    questions = load_questions()
    assert {question["gold"] for question in questions} <= names
    assert len({question["text"] for question in questions}) == len(questions)
    assert sum(asked == 2 for asked in Counter(question["gold"] for question in questions).values()) == 20


def test_gold_passages_are_among_the_ten_nearest() -> None:
    names = [passage["name"] for passage in load_passages()]
    similarities = unit_vectors("questions.f16.npy") @ unit_vectors("passages.f16.npy").T
    nearest = np.argpartition(-similarities, 10, axis=1)[:, :10]
    found = [
        question["gold"] in {names[row] for row in rows} for question, rows in zip(load_questions(), nearest)
    ]
    assert np.mean(found) >= EXPECTED_RECALL_AT_10


def test_the_sample_stays_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 5_000_000


def test_the_licence_of_the_passages_is_shipped() -> None:
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (SAMPLE / "LICENSE").read_text("utf-8")


def test_long_docstrings_are_cut_after_a_whole_paragraph() -> None:
    text = "first\nparagraph\n\nsecond\n\nthird"
    assert opening_paragraphs(text, len(text)) == text
    assert opening_paragraphs(text, len(text) - 1) == "first\nparagraph\n\nsecond"
    assert opening_paragraphs(text, len("first\nparagraph")) == "first\nparagraph"
    assert opening_paragraphs(text, len("first\nparagraph") - 1) == ""


def test_a_gold_name_without_passage_is_refused(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"text": "How?", "gold": "str.jion"}\n', encoding="utf-8")
    with pytest.raises(SystemExit, match=r"str\.jion"):
        read_questions(questions, {"str.join": 0})
