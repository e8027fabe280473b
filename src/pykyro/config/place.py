"""Where backups are kept, in the words of a user: a path or a URL."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

URL_FORMS: Final = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory"
_OBJECT_STORE: Final = re.compile(r"(s3|gs|az)://[^/?#\s]+(/[^?#]*)?")


def is_object_store(place: str) -> bool:
    """Whether it is a URL of an object store, without query or fragment."""
    return _OBJECT_STORE.fullmatch(place) is not None


def local_place(place: str) -> str:
    """The path that a file:// URL names; every other place as it is."""
    url = urlsplit(place)
    is_local = url.scheme == "file" and url.netloc in ("", "localhost") and place.startswith("file://")
    if not is_local or not url.path.startswith("/") or url.query or url.fragment:
        return place
    return unquote(url.path)
