"""Data sent to an ECC server, and its answers."""

from __future__ import annotations

from dataclasses import dataclass

from ioc.errors import Refused
from ioc.model.enums import EccState, LinkType, Transition
from ioc.model.names import check_config_name


@dataclass(frozen=True)
class ConfigChoice:
    """The three configuration files an ECC server is to use, by name (``describe-NAME.xcfg`` and so on)."""

    describe: str
    prepare: str
    configure: str

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The three names, in the order of the steps that read them."""
        return self.describe, self.prepare, self.configure

    @classmethod
    def parse(cls, text: str) -> ConfigChoice:
        """Read ``describe/prepare/configure``.

        Raises:
            Refused: if there are not three names or one is not allowed.
        """
        parts = [part.strip() for part in text.split("/")]
        if len(parts) != 3:
            raise Refused(
                f"configuration {text[:80]!r} must be three names, describe/prepare/configure, but has {len(parts)}"
            )
        return cls(*(check_config_name(part) for part in parts))


@dataclass(frozen=True)
class DataLink:
    """One connection from a data source to a data router, as sent with Configure."""

    source: str
    """Id in the hardware description: ``CoBo[0]``, ``Mutant[master]``."""
    router: str
    address: str
    port: int
    link_type: LinkType


@dataclass(frozen=True)
class EccReading:
    """One answer to GetState."""

    state: EccState
    transition: Transition
    read_at: float
    """When the answer arrived."""


@dataclass(frozen=True)
class TransitionReply:
    """What an ECC server reported with a successful reply to a transition."""

    sources: tuple[str, ...] = ()
    """After Describe: ids of the data sources that the hardware description knows."""
    config_digest: str = ""
    """After Configure: SHA-256 (hex) of the configuration text that the electronics were given."""
