"""Somebody whom the permissions of files stop."""

from __future__ import annotations

import os
import shutil

import pytest


def unprivileged() -> list[str]:
    """What starts a command as somebody who may do only what permissions say, which root is not."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root can be stopped by permissions only with setpriv of util-linux")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
