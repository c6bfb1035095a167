"""Memory that a training step frees is kept for the next one.

Left to itself, the C library gives the large arrays of a step back to the system and asks for them again in the next:
every page of them is then mapped and zeroed anew, a third of the time of a step on a CPU.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers and units of glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**30
USUAL_BYTES = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}  # where the thresholds end that glibc moves by itself


@contextmanager
def keep_memory() -> Iterator[None]:
    """Keep freed memory in the process while this lasts, then give it back; elsewhere than on glibc, do nothing."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    if not library.mallopt(MMAP_THRESHOLD, KEPT_BYTES):  # an older glibc allows no more than this
        library.mallopt(MMAP_THRESHOLD, USUAL_BYTES[MMAP_THRESHOLD])
    library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        for option, size in USUAL_BYTES.items():
            library.mallopt(option, size)
        library.malloc_trim(0)
