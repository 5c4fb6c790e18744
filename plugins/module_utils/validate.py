# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of structured variables against options written as in a role's argument specs. Pure: no Ansible.

Ansible checks the outermost variables of a role; what lies deeper (a pool in `nginx_pools`, a class in
`app_classes`) is checked here: all problems at once, each with the nearest known key. The value of an option
marked `no_log`, and of a mapping that contains one, is never repeated.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem

Option = Mapping[str, Any]

HIDDEN = "(hidden)"
_TRUE_WORDS = frozenset({"yes", "on", "1", "true", "y", "t"})
_FALSE_WORDS = frozenset({"no", "off", "0", "false", "n", "f"})
_LONGEST_SEEN = 80


def check(value: Any, options: Mapping[str, Option], where: str) -> list[Problem]:
    """Return what is wrong with one mapping whose keys are `options`.

    An option may have `type` (str, int, bool, float, list, dict, path, raw; default str), `elements`, `options`
    (of a dict, or of a list's dicts), `choices`, `required`, `aliases` and `no_log`, as in argument specs. A null
    counts as not given. Raises ValueError for an option with a type that does not exist.
    """
    return _check_keys(value, options, where, _has_secret(options))


def check_each(value: Any, options: Mapping[str, Option], where: str) -> list[Problem]:
    """Return what is wrong with a mapping of freely chosen names to mappings, such as `nginx_pools`."""
    if not isinstance(value, Mapping):
        return [_wrong_type(value, "dict", where, _has_secret(options))]
    return [p for name, inner in value.items() for p in check(inner, options, f"{where}.{name}")]


def unknown_names(
    names: Iterable[str], known: Iterable[str], where: str, prefixes: Iterable[str] = ()
) -> list[Problem]:
    """Return a problem for every variable name that has a known prefix but is not a known name.

    Without `prefixes` (`nginx_`, `app_`), they are the first words of the known names. Other names are the
    user's own and not judged.
    """
    known_names = set(known)
    judged = tuple(prefixes) or tuple({f"{k.split('_', 1)[0]}_" for k in known_names})
    unknown = sorted(n for n in set(names) if n.startswith(judged) and n not in known_names)
    rule = "a variable with a role's prefix is one that the role declares"
    return [Problem(where, rule, n, _remedy_for(n, known_names)) for n in unknown]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` was most likely meant to be; empty when none is near."""
    found = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def _remedy_for(name: str, known: Iterable[str]) -> str:
    known_names = sorted(known)
    near = nearest(name, known_names)
    if near:
        return f"did you mean {near}?"
    if len(known_names) <= 12:
        return f"remove it, or use one of {', '.join(known_names)}"
    return "remove it, or rename it"


def _check_keys(value: Any, options: Mapping[str, Option], where: str, hidden: bool) -> list[Problem]:
    if not isinstance(value, Mapping):
        return [_wrong_type(value, "dict", where, hidden)]
    spelled = {alias: name for name, option in options.items() for alias in (name, *option.get("aliases", ()))}
    problems = [
        Problem(f"{where}.{key}", "only known keys are used", str(key), _remedy_for(str(key), spelled))
        for key in value
        if key not in spelled
    ]
    given = {spelled[key]: inner for key, inner in value.items() if key in spelled and inner is not None}
    for name, option in options.items():
        if name in given:
            problems += _check_option(given[name], option, f"{where}.{name}", hidden and bool(option.get("no_log")))
        elif option.get("required"):
            problems.append(Problem(where, f"{name} is required", "not given", f"give {name}"))
    return problems


def _check_option(value: Any, option: Option, where: str, hidden: bool) -> list[Problem]:
    kind = option.get("type", "str")
    if kind not in _TYPES:
        raise ValueError(f"{where}: {kind!r} is not a type of option")
    inner: Mapping[str, Option] = option.get("options") or {}
    secret = hidden or bool(option.get("no_log"))
    if not _TYPES[kind](value):
        return [_wrong_type(value, kind, where, secret or _has_secret(inner))]
    if kind == "list":
        element = {"type": option.get("elements", "raw"), "options": inner, "no_log": secret}
        if option.get("choices"):
            element["choices"] = option["choices"]
        return [p for i, item in enumerate(value) for p in _check_option(item, element, f"{where}[{i}]", secret)]
    if kind == "dict" and inner:
        return _check_keys(value, _hide(inner) if secret else inner, where, secret or _has_secret(inner))
    return _check_choices(value, option.get("choices"), where, secret)


def _check_choices(value: Any, choices: Iterable[Any] | None, where: str, secret: bool) -> list[Problem]:
    if not choices or str(value) in {str(c) for c in choices}:
        return []
    words = [str(c) for c in choices]
    near = "" if secret else nearest(str(value), words)
    remedy = f"did you mean {near}?" if near else "correct the word"
    return [Problem(where, f"it is one of {', '.join(words)}", _seen(value, secret), remedy)]


def _wrong_type(value: Any, kind: str, where: str, secret: bool) -> Problem:
    name, example = _WORDS[kind]
    return Problem(where, f"it is {name}", _seen(value, secret), f"write it like {example}")


def _seen(value: Any, secret: bool) -> str:
    if secret:
        return HIDDEN
    text = repr(value)
    return text if len(text) <= _LONGEST_SEEN else f"{text[:_LONGEST_SEEN]}..."


def _hide(options: Mapping[str, Option]) -> dict[str, Option]:
    return {name: {**option, "no_log": True} for name, option in options.items()}


def _has_secret(options: Mapping[str, Option]) -> bool:
    return any(o.get("no_log") or _has_secret(o.get("options") or {}) for o in options.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, (str, int, float)) and str(value).lower() in _TRUE_WORDS | _FALSE_WORDS
    )


def _is_int(value: Any) -> bool:
    if isinstance(value, str):
        digits = value.strip().removeprefix("-")
        return digits.isascii() and digits.isdigit()
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "path": _is_text,
    "bool": _is_bool,
    "int": _is_int,
    "float": _is_float,
    "list": lambda value: isinstance(value, (list, tuple)),
    "dict": lambda value: isinstance(value, Mapping),
    "raw": lambda _value: True,
}
_WORDS = {
    "str": ("a text", "word or 'some words'"),
    "path": ("a path", "/var/lib/thing"),
    "bool": ("true or false", "true"),
    "int": ("a whole number", "42"),
    "float": ("a number", "0.5"),
    "list": ("a list", "[first, second]"),
    "dict": ("a mapping", "{key: value}"),
}
