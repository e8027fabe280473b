"""Frameworks cost nothing before they are asked for, and what is missing is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = """
import sys
import pykyro, pykyro.cli.kyrodb
pykyro.open, pykyro.Client, pykyro.AsyncClient
asked = ("haystack", "langchain_core", "llama_index", "mcp", "pykyro.integrations")
print([name for name in asked if name in sys.modules])
"""
MISSING = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("haystack", "langchain_core", "llama_index"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for module in ("pykyro.haystack", "pykyro.langchain", "pykyro.llama_index"):
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        print(error)
"""


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_nothing_of_a_framework_is_imported_before_it_is_asked_for() -> None:
    assert printed(IMPORTS) == "[]\n"


def test_the_extra_that_is_missing_is_named() -> None:
    assert printed(MISSING).splitlines() == [
        "haystack is not installed; it comes with an extra of pykyro: pip install 'pykyro[haystack]'",
        "langchain_core is not installed; it comes with an extra of pykyro: pip install 'pykyro[langchain]'",
        "llama_index is not installed; it comes with an extra of pykyro: pip install 'pykyro[llama-index]'",
    ]


def test_an_error_of_a_framework_itself_is_not_hidden() -> None:
    from pykyro.integrations.extras import needs_extra

    with pytest.raises(ModuleNotFoundError, match="No module named 'other'"), needs_extra("mcp", "mcp"):
        raise ModuleNotFoundError("No module named 'other'", name="other")
