"""Imports sqlite_utils without pandas and numpy; what writes takes it from here.

If they are installed, sqlite_utils imports them (and pandas pyarrow) to know their types, which are never stored here:
0.3 s for each command, and 80 MB for the IOC.
"""

from __future__ import annotations

import sys
from typing import Any, cast

_modules = cast(dict[str, Any], sys.modules)
_hidden = [name for name in ("pandas", "numpy") if name not in _modules]
_modules.update(dict.fromkeys(_hidden))  # to import None fails as if it were not installed
try:
    from sqlite_utils import Database
finally:
    for _name in _hidden:
        del _modules[_name]

__all__ = ["Database"]
