"""Files as memory, without a descriptor for each.

Python's mmap keeps a copy of the descriptor for as long as the mapping lives. A database with a thousand log files
would then need a thousand descriptors to be backed up.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_FAILED: Final = ctypes.c_void_p(-1).value


def map_descriptor(descriptor: int, size_bytes: int) -> memoryview:
    """The first bytes of an open file, read-only. The mapping outlives the descriptor and ends with its last view.

    Raises OSError.
    """
    if size_bytes == 0:
        return memoryview(b"")
    address = _libc.mmap(None, size_bytes, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    memory = (ctypes.c_ubyte * size_bytes).from_address(address)
    # Not at exit: a thread that still reads would meet a hole.
    weakref.finalize(memory, _libc.munmap, address, size_bytes).atexit = False
    return memoryview(memory).cast("B").toreadonly()


def release_pages(mapping: memoryview) -> None:
    """Let the system take back the memory behind a mapping; what is needed again is read again."""
    if isinstance(mapping.obj, ctypes.Array):
        _libc.madvise(ctypes.addressof(mapping.obj), ctypes.sizeof(mapping.obj), mmap.MADV_DONTNEED)
