"""PVs that are one of a few named states: enums and commands."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from caproto import MAX_ENUM_STATES, MAX_ENUM_STRING_SIZE, ChannelType

from ioc.ca.errors import Refused
from ioc.ca.putdata import PutData
from ioc.ca.pv import Client, Event, Properties, PutHandler, Pv, Snapshot


class EnumPv(Pv[int]):
    """One of at most 16 states of at most 25 bytes; its value is the number of the state, from 0."""

    native = ChannelType.ENUM
    max_states = MAX_ENUM_STATES

    def __init__(
        self,
        name: str,
        description: str,
        strings: Sequence[str],
        *,
        value: int = 0,
        on_put: PutHandler[int] | None = None,
    ) -> None:
        super().__init__(name, description, value, on_put)
        self.properties = Properties(strings=self._checked(strings))
        self.check(value)

    @property
    def strings(self) -> tuple[str, ...]:
        return self.properties.strings

    def set_strings(self, strings: Sequence[str]) -> None:
        """Rename the states (a property event); a value that has no state any more becomes 0.

        Raises:
            ValueError: too many, too long, or none at all.
        """
        checked = self._checked(strings)
        if checked == self.strings:
            return
        self.properties = replace(self.properties, strings=checked)
        old = self.snapshot
        value = old.value if old.value < len(checked) else 0
        events = Event.PROPERTY | (Event(0) if value == old.value else Event.VALUE | Event.LOG)
        self._publish(Snapshot(value, old.severity, old.status, old.timestamp), int(events))

    def _checked(self, strings: Sequence[str]) -> tuple[str, ...]:
        if not 1 <= len(strings) <= self.max_states:
            raise ValueError(f"{self.name} must have 1 to {self.max_states} states, not {len(strings)}")
        for text in strings:
            if len(text.encode()) >= MAX_ENUM_STRING_SIZE:
                raise ValueError(f"{self.name}: state {text!r} must be shorter than {MAX_ENUM_STRING_SIZE} bytes")
        return tuple(strings)

    @property
    def record_type(self) -> str:
        if len(self.strings) <= 2:
            return "bi" if self.on_put is None else "bo"
        return "mbbi" if self.on_put is None else "mbbo"

    def check(self, value: int) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise ValueError(f"{self.name} must be the number of a state, not {value!r}") from None
        if not 0 <= number < len(self.strings):
            raise ValueError(f"{self.name} must be 0 to {len(self.strings) - 1}, not {number}")
        return number

    def accept(self, data: PutData) -> int:
        text = str(data).strip()
        if data.native is ChannelType.STRING and text in self.strings:
            return self.strings.index(text)
        try:
            number = data.number()
        except Refused:
            number = -1
        if number not in range(len(self.strings)):
            raise self.cannot_be(
                repr(text[:40]), f"{', '.join(self.strings)} (or a number, 0 to {len(self.strings) - 1})"
            )
        return int(number)

    def texts(self, value: int) -> Sequence[str]:
        return (self.strings[value],)

    def numbers(self, value: int) -> Sequence[float]:
        return (value,)


class CommandPv(EnumPv):
    """An enum Done, Busy that does something: a put of Busy starts the handler, and it is Busy until that has ended.

    A put of Done does nothing. While it is Busy another put of Busy is refused.
    """

    serial = False

    def __init__(self, name: str, description: str, on_put: Callable[[Client], Awaitable[None]]) -> None:
        super().__init__(name, description, ("Done", "Busy"), on_put=self._start)
        self._run = on_put

    async def _start(self, client: Client, value: int) -> None:
        if not value:
            return
        if self.value:
            raise Refused(f"{self.name} is Busy with an earlier command: it must be Done before the next")
        self.post(1)
        try:
            await self._run(client)
        finally:
            self.post(0)
