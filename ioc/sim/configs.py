"""Configurations: the identifiers in requests, and files with the form and size of GET's, but without meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from ioc.sim.ecc_wire import set_of
from ioc.sim.plan import ConfigNames

KINDS = ("describe", "prepare", "configure")
_EXTENSIONS = (".xcfg", ".xml")
"""The second is read if the first is missing."""
_ONE_KIND_SINCE = 2021
"""First release in which prepare and configure are files of one kind."""
_HARDWARE = re.compile(r"<HardwareConfigId>\s*([^<]*?)\s*</HardwareConfigId>")
_DECLARATION = '<?xml version="1.0" encoding="UTF-8" ?>\n'
_HARDWARE_NAME = "fullCoBoStandAlone"
"""The hardware description that every written describe file names."""
_CHANNELS = 68


class ServerCrashError(Exception):
    """The real server's process would have crashed on this input."""


def config_id_text(names: Mapping[str, str]) -> str:
    """The text of ``configID`` for names by kind."""
    parts = (f'<SubConfigId type="{kind}">{names[kind]}</SubConfigId>' for kind in KINDS if kind in names)
    return f"<ConfigId>{''.join(parts)}</ConfigId>"


def parse_config_id(text: str) -> dict[str, str]:
    """Read the names, by kind, from ``configID``; an empty text has none, a malformed one is a ServerCrashError."""
    if not text.strip():
        return {}
    if "<!" in text:
        raise ServerCrashError("comment or declaration in a configID")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no declarations, checked above
    except ElementTree.ParseError as error:
        raise ServerCrashError(f"configID is not XML: {error}") from None
    if root.tag != "ConfigId":
        raise ServerCrashError(f"configID begins with <{root.tag}>")
    names: dict[str, str] = {}
    for part in root:
        kind, name = part.get("type"), part.text
        if part.tag != "SubConfigId" or kind not in KINDS or len(part) or not name:
            raise ServerCrashError(f"SubConfigId of type {kind!r} with name {name!r}")
        names[kind] = name
    return names


class MissingConfigError(Exception):
    """A file that a step reads is missing; the text is its name as the server knows it."""


class InvalidUrlError(Exception):
    """The server takes the path of a file for an invalid URL; the text is its complaint."""


class ConfigDirectory:
    """A directory of ``KIND-NAME.xcfg`` files, read again at each request. Names are not escaped anywhere."""

    def __init__(self, path: Path, release: int = 2021) -> None:
        self._path = path
        self._prefix = {kind: kind for kind in KINDS}
        if release >= _ONE_KIND_SINCE:
            self._prefix["prepare"] = "configure"

    def names(self, kind: str) -> list[str]:
        """The names of one kind, whatever the extension."""
        prefix = f"{kind}-"
        return sorted({file.stem[len(prefix) :] for end in _EXTENSIONS for file in self._path.glob(f"{prefix}?*{end}")})

    def files(self, kind: str, name: str) -> list[Path]:
        """The files that a step reads, for describe also the hardware file that it names.

        Raises:
            MissingConfigError: one does not exist.
            InvalidUrlError: one has a space in its name.
        """
        file = self._file(f"{self._prefix[kind]}-", name)
        if kind != "describe":
            return [file]
        text = file.read_text(encoding="utf-8", errors="replace")
        return [file, *(self._file("hardwareDescription_", name) for name in _HARDWARE.findall(text))]

    def _file(self, prefix: str, name: str) -> Path:
        stem = name.rpartition(".")[0] or name  # the server interprets the text after a dot as the extension
        for extension in _EXTENSIONS:
            path = self._path / f"{prefix}{stem}{extension}"
            if path.is_file():
                if " " in path.name:
                    raise _invalid_url(path)
                return path
        raise MissingConfigError(name)

    def list_text(self) -> str:
        """The answer to GetConfigIDs: all pairs of describe and configure; prepare always equals configure."""
        describe, configure = self.names("describe"), self.names("configure")
        pairs = ((first, second) for first in describe for second in configure)
        ids = ({"describe": first, "prepare": second, "configure": second} for first, second in pairs)
        return set_of("ConfigIdSet", map(config_id_text, ids))

    def contents_text(self, names: Mapping[str, str]) -> str:
        """The second part of the answer to Configure: the text of every file read by the steps, unless removed
        since."""
        if not names:
            raise MissingConfigError("")
        files = dict.fromkeys(file for kind, name in names.items() for file in self.files(kind, name))
        return f"<ConfigSet>{''.join(file.read_text(encoding='utf-8', errors='replace') for file in files)}</ConfigSet>"


def _invalid_url(path: Path) -> InvalidUrlError:
    at = len(f"{path.parent}/") + path.name.index(" ")
    return InvalidUrlError(f'The URL: "{path}" is invalid. There is an error at character {at}: "{str(path)[at:]}".')


def write_configs(directory: Path, names: ConfigNames) -> None:
    """Write each missing ``KIND-NAME.xcfg``, and the hardware description that they name."""
    directory.mkdir(parents=True, exist_ok=True)
    registers = "".join(f'  <Register id="reg{n}"><offset>{4 * n}</offset></Register>\n' for n in range(_CHANNELS))
    texts = {
        f"hardwareDescription_{_HARDWARE_NAME}": f'<Setup>\n <Device id="ctrl">\n{registers} </Device>\n</Setup>\n'
    }
    instance = f'<Instance id="0"><HardwareConfigId>{_HARDWARE_NAME}</HardwareConfigId></Instance>'
    for name in names.describe:
        texts[f"describe-{name}"] = f'<Setup name="{name}">\n <Node id="CoBo">\n  {instance}\n </Node>\n</Setup>\n'
    for kind, chosen in (("prepare", names.prepare), ("configure", names.configure)):
        for name in chosen:
            texts[f"{kind}-{name}"] = _settings_text(kind, name)
    for stem, text in texts.items():
        path = directory / f"{stem}.xcfg"
        if not path.exists():
            path.write_text(_DECLARATION + text, encoding="utf-8")


def _settings_text(kind: str, name: str) -> str:
    channels = "\n".join(f'    <channel id="{channel}" threshold="6"/>' for channel in range(_CHANNELS))
    agets = "\n".join(f'   <Aget id="{aget}">\n{channels}\n   </Aget>' for aget in range(4))
    asads = "\n".join(f'  <AsAd id="{asad}">\n{agets}\n  </AsAd>' for asad in range(4))
    return f'<Setup type="{kind}" name="{name}">\n <Node id="CoBo">\n{asads}\n </Node>\n</Setup>\n'
