# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a plain scalar is by YAML 1.2 (its core schema). PyYAML itself goes by YAML 1.1.

There ``046005`` is octal, ``12:46`` counts in sixties, ``1_000`` is a thousand, ``off`` is false and ``1e-3`` is text.
Here the first is 46005, the last a thousandth, and the others are text, which is then no port, no time and no switch.
"""

from __future__ import annotations

import re

import yaml

_TAG = "tag:yaml.org,2002:"
TEXT = f"{_TAG}str"

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_KINDS = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": re.compile(f"{_FLOAT.pattern}|{_INFINITE.pattern}")}


class Yaml12Loader(yaml.SafeLoader):
    """Composes nodes whose plain scalars have the tags of YAML 1.2. `value_of` makes values of them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base class


for _name, _pattern in _KINDS.items():
    # PyYAML matches only the begin. None: whatever the first character is.
    Yaml12Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"(?:{_pattern.pattern})\\Z", _pattern.flags), None)


def value_of(node: yaml.ScalarNode) -> object:
    """The value of a scalar that has one of the tags of the core schema.

    Raises:
        ValueError: a number with more digits than Python takes.
    """
    text: str = node.value
    match node.tag.removeprefix(_TAG):
        case "null":
            value = None
        case "bool":
            value = text.lower() == "true"
        case "int":
            # Zeros in front mean nothing: base 0 would refuse them.
            value = int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        case "float":
            value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            value = text
    return value
