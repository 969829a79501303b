"""PVs that are text: short strings, long texts, lists of short strings; UTF-8, never cut within a character."""

from __future__ import annotations

from collections.abc import Sequence

from caproto import ChannelType

from ioc.ca.errors import Refused
from ioc.ca.putdata import STRING_SIZE, PutData
from ioc.ca.pv import PutHandler, Pv


def cut(text: str, size: int) -> str:
    """The longest beginning of `text` that fits into `size` bytes of UTF-8, without NULs."""
    return text.replace("\0", "").encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def _fitting(pv: Pv[str], data: PutData, size: int) -> str:
    try:
        text = data.text(of_characters=pv.native is ChannelType.CHAR)
    except Refused as error:
        raise Refused(f"{pv.name} cannot be set: {error}") from None
    if (length := len(text.encode())) > size:
        raise pv.cannot_be(f"a text of {length} bytes", f"at most {size} bytes of UTF-8")
    return text


def _remark(pv: Pv[str], data: PutData) -> str:
    if not data.is_cut:
        return ""
    return (
        f"{pv.name} was cut to {data.text()!r}: the client sent fewer bytes than the text has in UTF-8, "
        "which an array of CHAR avoids"
    )


class StringPv(Pv[str]):
    """A DBR_STRING: at most 39 bytes; posting a longer text cuts it."""

    native = ChannelType.STRING

    def __init__(self, name: str, description: str, *, value: str = "", on_put: PutHandler[str] | None = None) -> None:
        super().__init__(name, description, cut(value, STRING_SIZE - 1), on_put)

    @property
    def record_type(self) -> str:
        return "stringin" if self.on_put is None else "stringout"

    def check(self, value: str) -> str:
        return cut(value, STRING_SIZE - 1)

    def accept(self, data: PutData) -> str:
        return _fitting(self, data, STRING_SIZE - 1)

    def remark(self, data: PutData) -> str:
        return _remark(self, data)

    def texts(self, value: str) -> Sequence[str]:
        return (value,)


class TextPv(Pv[str]):
    """A long text: a waveform of CHAR of fixed length, NUL-padded (``caget -S``); posting a longer text cuts it."""

    native = ChannelType.CHAR

    def __init__(
        self, name: str, description: str, max_length: int, *, value: str = "", on_put: PutHandler[str] | None = None
    ) -> None:
        super().__init__(name, description, cut(value, max_length), on_put)
        self._max_length = max_length

    @property
    def record_type(self) -> str:
        return "waveform"

    @property
    def max_count(self) -> int:
        return self._max_length

    def check(self, value: str) -> str:
        return cut(value, self._max_length)

    def accept(self, data: PutData) -> str:
        return _fitting(self, data, self._max_length)

    def remark(self, data: PutData) -> str:
        return _remark(self, data)

    def texts(self, value: str) -> Sequence[str]:
        return (value,)

    def numbers(self, value: str) -> Sequence[float]:
        return value.encode().ljust(self._max_length, b"\0")


class StringArrayPv(Pv[Sequence[str]]):
    """A waveform of at most `max_count` strings of 39 bytes; longer items and lists are cut."""

    native = ChannelType.STRING

    def __init__(self, name: str, description: str, max_count: int, *, value: Sequence[str] = ()) -> None:
        self._max_count = max_count
        super().__init__(name, description, self.check(value))

    @property
    def record_type(self) -> str:
        return "waveform"

    @property
    def max_count(self) -> int:
        return self._max_count

    def check(self, value: Sequence[str]) -> Sequence[str]:
        return tuple(cut(item, STRING_SIZE - 1) for item in value[: self._max_count])

    def accept(self, data: PutData) -> Sequence[str]:
        raise self.cannot_be(str(data)[:40], "left as it is: a list is read only")

    def texts(self, value: Sequence[str]) -> Sequence[str]:
        return value
