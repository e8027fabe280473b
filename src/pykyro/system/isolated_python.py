"""Starting another Python that runs a module of ours, and nothing else that happens to lie around.

`python -m` looks into the working directory first, and the environment can name more: a file queue.py lying there
would be executed. So the other Python ignores both (-I) and site packages too (-S); it has the standard library, and
behind that the places where this process found our own package and its libraries.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Final

_LIBRARIES: Final = (
    "pykyro",
    "numpy",
    "faiss",
    "pyroaring",
    "xxhash",
    "pydantic",
    "pydantic_core",
    "yaml",
    "psutil",
    "threadpoolctl",
)
_SITES: Final = ("site-packages", "dist-packages")
_PYTHON: Final = re.compile(r"(?:python|pypy)[\w.+-]*", re.IGNORECASE)
_BOOT: Final = (
    "import runpy, sys; count = int(sys.argv[1]); module = sys.argv[2]; "
    "sys.path += sys.argv[3 : 3 + count]; sys.argv[:] = [module, *sys.argv[3 + count :]]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
ANY_DIRECTORY: Final = os.sep
"""Where to start it: the working directory of this process may be removed, or be needed by another program."""


class NoInterpreter(OSError):
    """This process has no Python to start; the message says why."""


def isolated_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` as `python -m module` would, isolated. Raises NoInterpreter.

    It is to be started in ANY_DIRECTORY, so paths among the arguments must be absolute.
    """
    roots = list(dict.fromkeys(_roots()))
    options = ["-I", "-S", "-X", f"utf8={sys.flags.utf8_mode}"]
    if sys.dont_write_bytecode:
        options.append("-B")
    return [_interpreter(), *options, "-c", _BOOT, str(len(roots)), module, *roots, *arguments]


def _interpreter() -> str:
    if getattr(sys, "frozen", False) or "__compiled__" in globals():
        raise NoInterpreter("this program is packaged as one executable, so there is no Python to start")
    path = sys.executable
    if not path:
        raise NoInterpreter("sys.executable is empty, as it is where Python is embedded in another program")
    # Whatever else it is might well start the whole program once more.
    if not isinstance(path, str) or not _PYTHON.fullmatch(os.path.basename(path)):
        raise NoInterpreter(f"sys.executable is {path}, whose name is not that of a Python")
    if not os.path.isabs(path):
        raise NoInterpreter(f"sys.executable is {path}, which is not an absolute path")
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise NoInterpreter(f"sys.executable is {path}, which does not exist or cannot be executed")
    return path


def _roots() -> Iterator[str]:
    """Where this process imports from: our package, its libraries, and directories of installed packages."""
    for name in _LIBRARIES:
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            home = os.path.dirname(path)
            yield os.path.abspath(os.path.dirname(home) if hasattr(module, "__path__") else home)
    for entry in sys.path:
        if os.path.isabs(entry) and os.path.basename(entry.rstrip(os.sep)) in _SITES:
            yield entry
