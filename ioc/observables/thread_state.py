"""Python's state of a thread that libca has started, kept from one callback to the next.

Python makes such a state for each callback and drops it after, with memory that it takes from the operating system and
gives back: five times the work of the callback itself, done while the other threads wait for the interpreter.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter

_MANY = 10_000
"""Callbacks on a thread after which its state is kept.

It stays, with some 6 kB, when the thread ends, as it does when its server disconnects: so much for 10,000 updates, of
which a hundred times as much is recorded.
"""

_state = threading.local()
"""Lives in the state: empty in each callback until the state is kept."""
_callbacks: Counter[int] = Counter()
"""By the identity of those threads whose state is not kept; the system gives it to another when a thread ends."""


def keep_thread_state() -> None:
    """Keep the state of the calling thread, if it has called back often; to be called in each callback."""
    if hasattr(_state, "kept"):
        return
    thread = threading.get_ident()
    _callbacks[thread] += 1
    if _callbacks[thread] >= _MANY:
        del _callbacks[thread]
        _state.kept = ctypes.pythonapi.PyGILState_Ensure()
