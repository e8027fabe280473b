"""The descriptor pool of this package's messages.

The wire contract is that of the existing KyroDB, whose own Python client registers the same names in the default
pool of protobuf; a name stands in a pool once. So ours are in a pool of their own, and both packages can be imported
into one process.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pool import DescriptorPool

POOL: Final = DescriptorPool()
