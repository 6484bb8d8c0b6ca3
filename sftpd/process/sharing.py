"""Memory that forked children go on sharing: how they come to write to fewer of its pages."""

import ctypes
import gc
import sys

_LARGEST = 64 << 10
_LARGE = 4 << 10
_SMALLEST = 24
_STEP = 16
"""Bytes of holes: glibc's chunks are multiples of 16, and the smallest holds 24; large holes are few."""


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns; `keepcost` is how much lies free at the top of the heap."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def freeze() -> None:
    """Leave to children what is loaded, in pages that they seldom write to.

    A collection passes over it. The cache of attributes holds names, and a child that puts others in their
    place would count them down, each in another page (before Python 3.13). And what a child allocates goes
    where nothing lay yet.
    """
    gc.collect()
    gc.freeze()
    if sys.version_info < (3, 13):
        sys._clear_type_cache()  # noqa: SLF001 (there is no other way)
    _fill_heap()


def holes() -> int:
    """Bytes that are free between what is in use in the C heap; 0 where this is not glibc, which tells."""
    info = _mallinfo()
    return 0 if info is None else info.fordblks - info.keepcost


def _mallinfo() -> _Mallinfo | None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _Mallinfo
    told: _Mallinfo = libc.mallinfo2()
    return told


def _fill_heap() -> None:
    """Allocate for good what is free between what is in use."""
    info = _mallinfo()
    if info is None:
        return
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    top = libc.sbrk(ctypes.c_ssize_t(0)) - info.keepcost
    size = _LARGEST
    while size >= _SMALLEST:
        chunk = libc.malloc(size)
        if chunk is None or chunk >= top:
            libc.free(chunk)
            size -= _STEP if size <= _LARGE else _LARGE
