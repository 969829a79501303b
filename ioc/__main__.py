"""``python -m ioc``: the same as ``attpc-ioc``."""

from ioc.cli.main import main

main()
