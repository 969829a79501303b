"""The command line, ``attpc-ioc``. Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration."""
