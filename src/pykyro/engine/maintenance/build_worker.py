"""The build process: a greeting on standard output, one request line on standard input, one answer; at the lowest
priority."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from pykyro.engine.maintenance.build_protocol import GREETING, decode_request, encode_answer
from pykyro.engine.maintenance.builder import run_build
from pykyro.model.errors import KyroError
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.descriptors import restore_standard_streams


def _leave_with_parent() -> None:
    """Standard input ends when the parent closes it or dies; then no process waits for the answer."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> int:
    restore_standard_streams()
    # Ctrl-C at a terminal goes to every process there. The database decides about the build.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Searches come first: whatever else wants this processor gets it before a build does.
    with contextlib.suppress(OSError):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # Output of a library must not mix with the answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answers.write(GREETING)
    answers.flush()
    try:
        request = decode_request(sys.stdin.buffer.readline())
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        answer = run_build(LocalFileSystem(), request)
    except (KyroError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    answers.write(encode_answer(answer))
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
