"""What carries out the requests of REST, once the database is open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pykyro.database.collections import Collections
from pykyro.service.admission import Admission
from pykyro.transport.grpc.rpc import Handler


@dataclass(frozen=True, slots=True)
class Backend:
    """The handlers of the gRPC port by RPC, and the loop they run on."""

    handlers: Mapping[str, Handler]
    collections: Collections
    admission: Admission
    loop: asyncio.AbstractEventLoop
