"""``attpc-ioc runs`` as a user calls it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from ioc.cli.main import main


def invoke(database: Path, *arguments: str) -> Result:
    """Run a command on the database; it must end as a command, not with an exception."""
    command, *rest = arguments
    result = CliRunner().invoke(main, ["runs", command, "--database", str(database), *rest])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result
