"""The frame of every command: output for any terminal, readers that leave, signals, exit codes, shared arguments."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Final, TextIO

from pykyro.model.errors import KyroError
from pykyro.system.descriptors import restore_standard_streams

_REPLACEMENTS: Final = {"→": "->", "…": "...", "–": "-", "—": "-", "×": "x", "µ": "u", "\ufffd": "?"}
_ERRORS: Final = "kyrodb-escape"


def run(body: Callable[[], int | None], report: Callable[[BaseException], None]) -> int:
    """Run a command; its exit code: what `body` returns (None is 0), 1 for any error, which `report` tells.

    argparse's SystemExit goes through.
    """
    _prepare_streams()
    try:
        try:
            return body() or 0
        finally:
            # At the interpreter's end it would be too late to say that the output could not be written.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError as error:
        # The output has no reader any more (`| head`), which is not an error. A broken pipe elsewhere is one.
        if flush_or_discard(sys.stdout):
            report(error)
    except UnicodeEncodeError as error:
        report(
            KyroError(
                f"{error.object[error.start : error.end]!a} cannot be written in the encoding of this locale, "
                f"{error.encoding}: set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
            )
        )
    except (KyroError, OSError) as error:
        report(error)
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
    flush_or_discard(sys.stdout)
    return 1


def print_error(error: BaseException) -> None:
    """For `run`: the error alone."""
    print(f"Error: {error}", file=sys.stderr)


def text_argument(value: str) -> str:
    """For `type` of an argument that is text and no path: bytes of the command line that the locale does not know
    are UTF-8."""
    return os.fsencode(value).decode("utf-8", "replace")


def _prepare_streams() -> None:
    """Let both streams write any text: what their encoding lacks is written in other words or as an escape."""
    codecs.register_error(_ERRORS, _escape)
    restore_standard_streams(_ERRORS)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    written = "".join(
        _REPLACEMENTS.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")
        for character in error.object[error.start : error.end]
    )
    return written, error.end


def flush_or_discard(stream: TextIO) -> bool:
    """Flush the stream; returns whether it still has a reader. Without a reader the rest of its buffer is
    discarded."""
    try:
        stream.flush()
        number = stream.fileno()
    except io.UnsupportedOperation:
        return True
    except OSError:
        return _discard(stream)
    watch = select.poll()
    watch.register(number, 0)
    # A failed write may have emptied the buffer, so that the flush had nothing to fail with.
    return True if not any(events & select.POLLERR for _, events in watch.poll(0)) else _discard(stream)


def _discard(stream: TextIO) -> bool:
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
    return False


API_KEY_VARIABLE: Final = "KYRODB_API_KEY"
"""The variable of the environment that holds the key to use at a server."""


def integer(least: int, most: int) -> Callable[[str], int]:
    """For `type` of an argument: an integer within these bounds."""

    def integer(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    return integer


def missing_option(options: argparse.Namespace, needs: Mapping[str, str]) -> str:
    """The fault of options that have no effect without another option, or one of several ("--a or --b"), that `needs`
    names; "" for none.

    An option without effect is likely a mistake of the user.
    """
    for option, other in needs.items():
        given = getattr(options, _attribute(option), None)
        if (
            given is not None
            and given is not False
            and all(_unset(options, one) for one in other.split(" or "))
        ):
            return f"{option} needs {other}"
    return ""


def _unset(options: argparse.Namespace, option: str) -> bool:
    value = getattr(options, _attribute(option))
    return value is None or value is False


def _attribute(option: str) -> str:
    name = option.removeprefix("--").replace("-", "_")
    return {"from": "origin", "in": "source"}.get(name, name)  # words of Python, kept under others


_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL: Final = 128


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """Inside, these signals raise SystemExit with the exit code that shells know; a second one changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        # One that the parent ignores, as nohup does, stays ignored.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(_BY_SIGNAL + number)
