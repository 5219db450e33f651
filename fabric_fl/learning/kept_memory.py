"""What a round of training frees stays with the process for the next one.

The C library returns blocks above 32 MB to the kernel as soon as they are freed. Weights, update and quantised update
of every round then begin in fresh pages, which the kernel has to clear; below a virtual machine its host has to find
them, too. (TensorFlow keeps the memory of its own tensors where it computes with oneDNN.)

References:
    mallopt(3), malloc_trim(3)
"""

from __future__ import annotations

import ctypes
import os
import threading

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}
_DEFAULT = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 1024}
_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")

_lock = threading.Lock()
_holders = 0


class KeptMemory:
    """Keeps what is freed from `hold` to `release`, or until the last of several holders releases it.

    Where the environment says how the C library is to allocate, or where that is not glibc, nothing changes.
    """

    def __init__(self) -> None:
        self._held = False

    def hold(self) -> None:
        """From now on nothing is given back; calling it again changes nothing."""
        global _holders  # noqa: PLW0603 - the C library's settings are the process's own
        with _lock:
            if self._held:
                return
            self._held = True
            _holders += 1
            if _holders == 1:
                _set(_KEPT)

    def release(self) -> None:
        """Give back what is free, and from now on as before."""
        global _holders  # noqa: PLW0603
        with _lock:
            if not self._held:
                return
            self._held = False
            _holders -= 1
            if _holders == 0:
                _set(_DEFAULT)


def _set(values: dict[int, int]) -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or any(name in os.environ for name in _SETTINGS):
        return
    for option, value in values.items():
        library.mallopt(option, value)
    if values is _DEFAULT:
        library.malloc_trim(ctypes.c_size_t(0))
