"""What every command has around it: output that any terminal takes, a reader that may leave, and exit codes."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Callable
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
        # Nobody reads the output any more (`| head`): no error to speak of. The end of another pipe is.
        if settle(sys.stdout):
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
    settle(sys.stdout)
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


def settle(stream: TextIO) -> bool:
    """Whether somebody could still read the stream; if not, what is left in its buffer goes nowhere."""
    try:
        stream.flush()
        number = stream.fileno()
    except io.UnsupportedOperation:
        return True
    except OSError:
        return _let_go(stream)
    watch = select.poll()
    watch.register(number, 0)
    # A failed write may have emptied the buffer, so that the flush had nothing to fail with.
    return True if not any(events & select.POLLERR for _, events in watch.poll(0)) else _let_go(stream)


def _let_go(stream: TextIO) -> bool:
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
    return False
