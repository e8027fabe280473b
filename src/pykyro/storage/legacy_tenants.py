"""tenants.json: where earlier versions of KyroDB kept which tenant has which number.

    { "acme": 0, "globex": 1 }

It is read once, into a MANIFEST that knows no tenant yet, and is ignored from then on: a number that was given
to a tenant stays with it, whatever happens to this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDamaged
from pykyro.model.limits import KEY_FILE_BYTES_MAX, TENANT_INDEX_MAX
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem

_HINT: Final = "Put the right file back; to number the tenants anew, remove it before the first start"


def read_legacy_tenants(filesystem: FileSystem, directory: Path) -> dict[str, int]:
    """Tenants by their numbers, empty when there is no such file. Raises DataDamaged, OSError."""
    path = directory / filename.LEGACY_TENANTS
    if not filesystem.exists(path):
        return {}
    try:
        tenants = json.loads(filesystem.read(path, limit=KEY_FILE_BYTES_MAX))
    except (ValueError, RecursionError):
        raise DataDamaged("is no JSON", path=path, hint=_HINT) from None
    if not isinstance(tenants, dict):
        raise DataDamaged("must map tenant ids to numbers", path=path, hint=_HINT)
    for tenant_id, index in tenants.items():
        if type(index) is not int or not 0 <= index <= TENANT_INDEX_MAX:
            raise DataDamaged(
                f"tenant {tenant_id!r} must have a whole number from 0 to {TENANT_INDEX_MAX}, has {index!r}",
                path=path,
                hint=_HINT,
            )
    if len(set(tenants.values())) < len(tenants):
        raise DataDamaged("two tenants have the same number", path=path, hint=_HINT)
    return tenants
