"""Exceptions of signal handlers, told apart from those of the value that was just being read.

A handler runs between any two steps of the main thread and may raise: a timer that ends a call that takes too long,
for example. That is addressed to whoever called, and must reach them, wherever it came.
"""

from __future__ import annotations

import functools
import signal
import threading
from types import CodeType, FunctionType, MethodType
from typing import Final

_LAYERS_MAX: Final = 10
"""Handlers may be wrapped in others; this deep is looked."""


def raised_by_handler(error: BaseException) -> bool:
    """Whether `error`, just caught, came out of one of the signal handlers that are set."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code(handler: object) -> CodeType | None:
    """What runs when `handler` is called; None for the default, and for what is not written in Python."""
    for _ in range(_LAYERS_MAX):
        if isinstance(handler, FunctionType):
            return handler.__code__
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif isinstance(handler, MethodType):
            handler = handler.__func__
        else:
            handler = vars(type(handler)).get("__call__")
    return None
