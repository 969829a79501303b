"""Commands to a running simulator from the shell: ``python -m ioc.sim.control PORT '{"ecc": "CoBo0", "do": "kill"}'``.

The commands are listed in ``docs/simulator.md``.
"""

from __future__ import annotations

import asyncio
import json
import sys

from ioc.errors import AttpcError
from ioc.sim.control_port import send_command


def main(arguments: list[str]) -> int:
    """Send the command given on the command line; exit code 0 if it was carried out."""
    if len(arguments) != 2 or not arguments[0].isdecimal():
        print('usage: python -m ioc.sim.control PORT \'{"ecc": "CoBo0", "do": "kill"}\'', file=sys.stderr)
        return 2
    try:
        answer = asyncio.run(send_command(int(arguments[0]), json.loads(arguments[1])))
    except (AttpcError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
