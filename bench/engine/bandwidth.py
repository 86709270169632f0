"""How fast this machine reads memory: the same bytes again and again, as decoding reads weights.

A look for a byte that is not there, by the C library, which reads as fast as the processor can.
"""

import ctypes
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

PRESENT, ABSENT = 1, 2
READS = 9

libc = ctypes.CDLL(None)
libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.memchr.restype = ctypes.c_void_p


def bytes_per_second(size: int, threads: int) -> float:
    """Return the median rate of several reads of so many bytes, in as many threads. Blocks."""
    held = np.full(size, PRESENT, np.uint8)  # written, so that each page is one of its own
    addresses = [part.ctypes.data for part in np.array_split(held, threads)]
    sizes = [part.nbytes for part in np.array_split(held, threads)]
    with ThreadPoolExecutor(threads) as pool:
        took_s = [_read(pool, addresses, sizes) for _ in range(READS)]
    return size / median(took_s)


def _read(pool: ThreadPoolExecutor, addresses: Sequence[int], sizes: Sequence[int]) -> float:
    began_s = time.perf_counter()
    found = list(pool.map(_look, addresses, sizes))
    assert not any(found)
    return time.perf_counter() - began_s


def _look(address: int, size: int) -> int | None:
    return libc.memchr(address, ABSENT, size)
