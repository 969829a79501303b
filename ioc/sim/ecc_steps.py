"""What the operations of an ECC server do: to the configuration files, to the electronics, and in their answers."""

from __future__ import annotations

from ioc.sim.ecc_arguments import (
    ConfigDirectory,
    ConfigId,
    Link,
    MissingConfigError,
    links_text,
    parse_links,
    sources_text,
)
from ioc.sim.ecc_state import State
from ioc.sim.electronics import Electronics, LinkError

_CONFIG_KIND = {"Describe": "describe", "Prepare": "prepare", "Configure": "configure"}
_NO_HARDWARE = "Ice exception: ::Ice::ConnectionRefusedException:\nconnection refused: Connection refused"


class StepError(Exception):
    """An operation failed; the text becomes the ErrorMessage."""


class Steps:
    """Remembers what was configured, since the answers tell it even when an operation was ignored."""

    def __init__(self, sources: tuple[str, ...], configs: ConfigDirectory, electronics: Electronics) -> None:
        self.configs = configs
        self.complaint = ""
        """Error message of the next answer to Configure, although that is done."""
        self._sources = sources
        self._electronics = electronics
        self._links: tuple[Link, ...] = ()
        self._loaded: dict[str, str] = {}

    def forget(self) -> None:
        """Begin anew, as a process that was started again."""
        self.complaint = ""
        self._links = ()
        self._loaded.clear()

    def load(self, operation: str, config: ConfigId) -> None:
        """Read the files of a step.

        Raises:
            StepError: one is not there, or is not named.
        """
        kind = _CONFIG_KIND.get(operation)
        if kind is None:
            return
        if not config.complete:
            raise StepError(f"Configuration identifier '{config}' is not valid.")
        try:
            self.configs.files(kind, config.names[kind])
        except MissingConfigError as missing:
            raise StepError(f"Exception: Configuration '{missing}' does not exist.") from None
        self._loaded[kind] = config.names[kind]

    async def perform(self, operation: str, state: State, table: str) -> None:
        """Do to the electronics what the change of state does not do by itself.

        Raises:
            StepError: they refused.
        """
        if operation == "Breakup" and (self._electronics.dead or state is State.OFF):
            raise StepError(_NO_HARDWARE)
        try:
            if operation in {"Start", "Resume"}:
                await self._electronics.begin()
            elif operation == "Configure":
                self._links = self._used(table)
                await self._connect({link.source: link for link in self._links})
        except LinkError as error:
            raise StepError(str(error)) from None

    def answer(self, operation: str) -> tuple[str, str]:
        """Error message and text of the reply to what was done, and also to what was ignored."""
        if operation == "Describe":
            return "", sources_text(self._sources)
        if operation != "Configure":
            return "", ""
        links = f"{links_text(self._links)}\n"
        complaint, self.complaint = self.complaint, ""
        if complaint:
            return complaint, links
        try:
            return "", links + self.configs.contents_text(self._loaded)
        except MissingConfigError as missing:
            return f"Configuration '{missing}' does not exist.", links

    def _used(self, table: str) -> tuple[Link, ...]:
        """The first link of each source in the document; the others vanish without a word."""
        first: dict[str, Link] = {}
        for link in parse_links(table):
            first.setdefault(link.source, link)
        return tuple(first[source] for source in self._sources if source in first)

    async def _connect(self, links: dict[str, Link]) -> None:
        for source in self._sources:
            if source not in links:
                raise StepError(f"Could not find a valid data router for data sender '{source}'")
        await self._electronics.connect(links)
