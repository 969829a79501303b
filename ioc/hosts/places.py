"""The directories that a router worked in during a run."""

from __future__ import annotations

from collections.abc import Sequence

from ioc.hosts.transport import Transport, from_shown, shown, told


def find_places(
    transport: Transport, present: bytes | None, directories: Sequence[str], router: str, host: str
) -> tuple[list[bytes], list[str]]:
    """Return the present directory and those named, each once whatever it is called; and what is wrong with others.

    Raises:
        PeerError: the host cannot be asked.
    """
    places = [] if present is None else [present]
    problems: list[str] = []
    for text in directories:
        path = from_shown(text)
        if path in places or not path.startswith(b"/"):
            continue
        try:
            place = transport.real_path(path)
            transport.list_directory(place)
        except OSError as error:
            shown_path = shown(path)
            what = f"directory {shown_path} on {host}, where router {router} worked in this run,"
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                problems.append(
                    f"{what} is gone: put it back and file again; if it held no data, an empty one will do "
                    f"(mkdir -p '{shown_path}')"
                )
            else:
                problems.append(f"{what} cannot be read ({told(error)}): let the SSH user read and write it")
            continue
        if place not in places:
            places.append(place)
    return places, problems
