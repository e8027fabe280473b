"""Key files and keys for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CANARY = "CANARYcanaryCANARYcanaryCANARYcanary0"
"""A secret that must turn up nowhere."""


def key_of(tenant_id: str, secret: str = "s" * 32) -> str:
    return f"kyro_{tenant_id}_{secret}"


def entry(tenant_id: str = "acme", **fields: object) -> dict[str, object]:
    """A valid entry, with other fields than usual."""
    chosen: dict[str, object] = {
        "key": key_of(tenant_id),
        "tenant_id": tenant_id,
        "tenant_name": f"The {tenant_id} company",
        "max_vectors": 1000,
        "enabled": "true",
    }
    return chosen | fields


def text_of(*entries: Mapping[str, object]) -> str:
    """A key file with these entries, values as they are; fields that are None are left out."""
    lines = ["api_keys:"]
    for given in entries:
        fields = {name: value for name, value in given.items() if value is not None}
        lines += [
            f"{'  - ' if at == 0 else '    '}{name}: {value}"
            for at, (name, value) in enumerate(fields.items())
        ]
    return "\n".join(lines) + "\n"


def write_keys(path: Path, *entries: Mapping[str, object]) -> Path:
    """`text_of` in a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text_of(*entries))
    return path
