"""Search in a program of its own: the database is a directory, and there is no server.

python examples/embedded.py [directory]
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np

import pykyro

DIMENSION = 64
WORDS = ["apple", "banana", "cherry", "grape", "lemon", "melon", "orange", "peach", "pear", "plum"]


def embed(text: str) -> np.ndarray:
    """A stand-in for an embedding model: texts that share letters in a row are near each other."""
    vector = np.zeros(DIMENSION)
    for first, second in zip(f" {text}", f"{text} ", strict=True):
        vector[(ord(first) * 31 + ord(second)) % DIMENSION] += 1
    return vector


def main(directory: str) -> None:
    with pykyro.open(directory, dimension=DIMENSION) as db:
        report = db.insert_many(
            (number, embed(word), {"word": word, "letters": len(word)})
            for number, word in enumerate(WORDS, start=1)
        )
        print(f"stored {report.inserted} words")

        for hit in db.search(embed("bananas"), k=2):
            print(f"like bananas: {hit.metadata['word']} ({hit.score:.2f})")

        short = db.search(embed("pearl"), k=3, filter={"letters": {"$lte": 4}})
        print("short and like pearl:", *(hit.metadata["word"] for hit in short))

        db.update_metadata(1, {"eaten": "yes"}, merge=True)
        print("eaten:", db.delete_many(filter={"eaten": {"$exists": True}}))

    # The next program that opens the directory finds what this one left.
    with pykyro.open(directory, dimension=DIMENSION) as db:
        print(f"{db.stats().documents} words are still there")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
