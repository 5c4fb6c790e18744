# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dataclasses that travel as JSON types, between machines and between the parts of a run. Pure.

What they are read back as follows from the types of their fields.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R", bound="Portable")
Reader = Callable[[Any], Any]
_MADE: dict[type[Any], dict[str, Reader]] = {}


class Portable:
    """Base of a frozen dataclass whose fields are numbers, text, others of its kind, or tuples and mappings of these."""

    def as_dict(self) -> dict[str, Any]:
        """Return its fields in JSON types."""
        return {name: _written(getattr(self, name)) for name in fields_of(type(self))}

    @classmethod
    def from_dict(cls: type[R], raw: Mapping[str, Any]) -> R:
        """Read back what `as_dict` wrote; numbers and text that Ansible turned into other types are turned back."""
        readers = _readers(cls)
        return cls(**{name: readers[name](value) if name in readers else value for name, value in raw.items()})


def fields_of(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, in order."""
    return tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]


def _written(value: Any) -> Any:
    if isinstance(value, Portable):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _written(one) for key, one in value.items()}
    return [_written(one) for one in value] if isinstance(value, tuple) else value


def _readers(kind: type[Portable]) -> dict[str, Reader]:
    """Return what reads each field of a dataclass; made once, for its types are resolved by name."""
    if kind not in _MADE:
        hints = get_type_hints(kind)
        _MADE[kind] = {name: _reader(hints[name]) for name in fields_of(kind)}
    return _MADE[kind]


def _reader(hint: Any) -> Reader:
    """Return what reads a value of this type."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in (int, float):
        return lambda value: hint(value) if isinstance(value, str) else value
    if hint is str:
        return lambda value: value if value is None else str(value)
    if isinstance(hint, type) and issubclass(hint, Portable):
        return hint.from_dict
    if origin in (Union, types.UnionType):
        (some,) = (_reader(part) for part in parts if part is not type(None))
        return lambda value: None if value in (None, "") else some(value)
    if origin is tuple and parts[-1] is Ellipsis:
        every = _reader(parts[0])
        return lambda value: tuple(every(one) for one in value or ())
    if origin is tuple:
        each = [_reader(part) for part in parts]
        return lambda value: tuple(read(one) for read, one in zip(each, value, strict=True))
    if origin is Mapping:
        key, of = map(_reader, parts)
        return lambda value: {key(k): of(v) for k, v in (value or {}).items()}
    return lambda value: value
