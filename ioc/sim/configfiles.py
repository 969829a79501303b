"""The configuration files of a simulated site: like GET's in shape and size, with no meaning."""

from __future__ import annotations

from pathlib import Path

from ioc.sim.plan import ConfigNames

_DECLARATION = '<?xml version="1.0" encoding="UTF-8" ?>'
_HARDWARE = "fullCoBoStandAlone"
"""The hardware description that every describe file names."""
_ASADS = 4
_AGETS = 4
_CHANNELS = 68


def write_configs(directory: Path, names: ConfigNames) -> None:
    """Write ``KIND-NAME.xcfg`` for every name whose file does not exist, and the hardware description they name."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind, chosen in (("describe", names.describe), ("prepare", names.prepare), ("configure", names.configure)):
        for name in chosen:
            path = directory / f"{kind}-{name}.xcfg"
            if not path.exists():
                path.write_text(_file_text(kind, name), encoding="utf-8")
    hardware = directory / f"hardwareDescription_{_HARDWARE}.xcfg"
    if not hardware.exists():
        hardware.write_text(_hardware_text(), encoding="utf-8")


def _hardware_text() -> str:
    registers = "".join(f'  <Register id="reg{n}"><offset>{4 * n}</offset></Register>\n' for n in range(_CHANNELS))
    return f'{_DECLARATION}\n<Setup>\n <Device id="ctrl">\n{registers} </Device>\n</Setup>\n'


def _file_text(kind: str, name: str) -> str:
    if kind == "describe":
        instance = f'  <Instance id="0"><HardwareConfigId>{_HARDWARE}</HardwareConfigId></Instance>'
        return f'{_DECLARATION}\n<Setup name="{name}">\n <Node id="CoBo">\n{instance}\n </Node>\n</Setup>\n'
    lines = [_DECLARATION, f'<Setup type="{kind}" name="{name}">', ' <Node id="CoBo">']
    for asad in range(_ASADS):
        lines.append(f'  <AsAd id="{asad}">')
        for aget in range(_AGETS):
            lines.append(f'   <Aget id="{aget}">')
            lines += [f'    <channel id="{channel}" threshold="6"/>' for channel in range(_CHANNELS)]
            lines.append("   </Aget>")
        lines.append("  </AsAd>")
    return "\n".join([*lines, " </Node>", "</Setup>", ""])
