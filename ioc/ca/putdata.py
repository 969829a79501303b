"""What a client sent with a put, before any PV has judged it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from caproto import ChannelType

from ioc.ca.characters import characters
from ioc.ca.errors import Refused

_FORMATS = {
    ChannelType.INT: "h",
    ChannelType.FLOAT: "f",
    ChannelType.ENUM: "H",
    ChannelType.CHAR: "B",
    ChannelType.LONG: "i",
    ChannelType.DOUBLE: "d",
}
STRING_SIZE = 40


@dataclass(frozen=True)
class PutData:
    """The elements of a put: texts (bytes up to the first NUL) for DBR_STRING, else numbers."""

    native: ChannelType
    items: tuple[bytes, ...] | tuple[int, ...] | tuple[float, ...]

    @classmethod
    def decode(cls, data_type: int, count: int, payload: bytes) -> PutData:
        """Read a put of a plain DBR type.

        Raises:
            Refused: the type cannot be put or the payload is shorter than its count says.
        """
        if not 0 <= data_type <= ChannelType.DOUBLE:
            raise Refused(f"a put must be of a plain data type, 0 to 6, not {data_type}")
        native = ChannelType(data_type)
        size = STRING_SIZE if native is ChannelType.STRING else struct.calcsize(">" + _FORMATS[native])
        if native is ChannelType.STRING and count == 1:  # a single string comes without its trailing NULs
            payload = payload[:size].ljust(size, b"\0")
        if len(payload) < count * size:
            raise Refused(f"a put of {count} elements of {size} bytes came with only {len(payload)} bytes")
        if native is ChannelType.STRING:
            return cls(native, tuple(payload[i * size : (i + 1) * size].split(b"\0", 1)[0] for i in range(count)))
        return cls(native, struct.unpack_from(f">{count}{_FORMATS[native]}", payload))

    @property
    def is_cut(self) -> bool:
        """Whether a text came with the bytes of its last character missing.

        CAJ, the library of Phoebus, sends as many bytes of a DBR_STRING as it has characters; caput sends 39 at most.
        """
        if self.native is not ChannelType.STRING or len(self.items) != 1:
            return False
        raw = self.items[0]
        return isinstance(raw, bytes) and len(_whole(raw)) < len(raw)

    def text(self, *, of_characters: bool = True) -> str:
        """The put as one text.

        CHAR is UTF-8. Several elements of another type are characters, as Phoebus sends them: the number of a UTF-16
        code unit each, up to the first 0. A single number is a character too if `of_characters`, else its digits.

        Raises:
            Refused: it is not UTF-8, or an element is not a whole character.
        """
        if self.native is ChannelType.CHAR:
            return _decoded(bytes(int(item) for item in self.items).split(b"\0", 1)[0])
        if not self.items:
            return ""
        item = self.items[0]
        if len(self.items) == 1 and isinstance(item, bytes):
            whole = _whole(item)
            if item and not whole:
                raise Refused("the text was cut before the end of its first character: send it as an array of CHAR")
            return _decoded(whole)
        if len(self.items) == 1 and not isinstance(item, bytes) and not of_characters:
            return _digits(item)
        return characters(self.items)

    def number(self) -> float:
        """The put as one number, an int if it was written as one; a text must read as a number.

        Raises:
            Refused: it does not, or it has more than one element.
        """
        item = self._only()
        if not isinstance(item, bytes):
            return item
        text = item.decode("utf-8", "replace").strip()
        if "_" not in text:  # Python's digit separator, which no other EPICS tool would understand
            for parse in (lambda: int(text, 0), lambda: float(text)):
                try:
                    return parse()
                except ValueError:
                    continue
        raise Refused(f"{text!r} is no number")

    def _only(self) -> float | bytes:
        if len(self.items) != 1:
            raise Refused(f"it takes one element, but the put has {len(self.items)}")
        return self.items[0]

    def __str__(self) -> str:
        """For the log of puts; never fails."""
        if self.native is ChannelType.CHAR:
            return bytes(int(item) for item in self.items).split(b"\0", 1)[0].decode("utf-8", "replace")
        shown = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else _digits(item) for item in self.items[:20]
        ]
        return ", ".join(shown)


def _digits(number: float) -> str:
    """``1`` for 1.0 too: clients send the number of a state as DOUBLE."""
    return str(int(number)) if number == number // 1 and abs(number) < 2**53 else str(number)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"a text must be UTF-8, but byte {error.start + 1} of {raw[:40]!r} is not") from None


def _whole(raw: bytes) -> bytes:
    """`raw` without the beginning of a character at its end."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return raw[: error.start]
    return raw
