# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readers of what a class states: each returns a value and adds what is wrong to a list. Pure: no Ansible."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app.options import ARCHIVES
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError

_VERSION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}$")
_CHECKSUM = re.compile(r"^sha256:[0-9a-f]{64}$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def text_of(value: object) -> str:
    """Return an environment value as text: true and false in lower case, as they were written in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_command(value: object, where: str, known: Sequence[str], problems: list[Problem]) -> tuple[str, ...]:
    """Return a command's words, split as a shell would but run without one; `known` are the placeholders."""
    try:
        words = tuple(str(v) for v in value) if isinstance(value, list | tuple) else tuple(shlex.split(str(value)))
    except ValueError as err:
        problems.append(Problem(where, "a command's quotes are closed", str(err), "close the quote"))
        return ()
    if not words:
        problems.append(Problem(where, "a class states its command", "none", "e.g. {release}/bin/serve --port {port}"))
    for word in words:
        for name in _PLACEHOLDER.findall(word):
            if name not in known:
                names = ", ".join("{" + p + "}" for p in known)
                problems.append(Problem(where, "a placeholder is known", "{" + name + "}", f"known are {names}"))
    if words and not words[0].startswith(("/", "{release}")):
        remedy = "start it with {release}/ or /; no shell looks in PATH"
        problems.append(Problem(where, "a command starts with an absolute path", words[0], remedy))
    if any(_CONTROL.search(w) for w in words):
        problems.append(Problem(where, "a command holds no control characters", repr(words), "remove them"))
    return words


def read_release(raw: object, where: str, known: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    """Return the parts of a release; version, source and checksum are required."""
    stated = raw if isinstance(raw, Mapping) else {}
    version, src, checksum = (str(stated.get(k) or "") for k in ("version", "src", "checksum"))
    if not _VERSION.match(version):
        rule, remedy = "a version is letters, digits and . _ + ! -", 'write it as "1.4.2", in quotes'
        problems.append(Problem(f"{where}.version", rule, repr(version), remedy))
    if not src.split("?", 1)[0].endswith(ARCHIVES):
        remedy = f"give a path or URL that ends in {', '.join(ARCHIVES)}"
        problems.append(Problem(f"{where}.src", "a release is an archive or a wheel", repr(src), remedy))
    if "://" in src and not src.startswith(("http://", "https://")):
        problems.append(Problem(f"{where}.src", "a release comes over http(s) or from a path", src, "change the URL"))
    if not _CHECKSUM.match(checksum):
        name = src.rsplit("/", 1)[-1] or "ARCHIVE"
        remedy = f"take it from `sha256sum {name}` and write sha256: and its 64 digits"
        problems.append(Problem(f"{where}.checksum", "a release has a sha256 checksum", repr(checksum), remedy))
    check = stated.get("check")
    words = read_command(check, f"{where}.check", known, problems) if check else ()
    remote = text_of(stated.get("remote_src", False)).lower() in ("true", "yes", "on", "1")
    return {"version": version, "src": src, "checksum": checksum, "check": words, "remote_src": remote}


def read_ports(raw: object, where: str, problems: list[Problem]) -> tuple[int, ...]:
    """Return the ports of a list, each between 1 and 65535 and there once."""
    values = raw if isinstance(raw, list | tuple) else [raw]
    ports: list[int] = []
    for value in values:
        text = str(value)
        if not (text.isdigit() and 0 < int(text) < 65536) or isinstance(value, bool):
            problems.append(Problem(where, "a port is between 1 and 65535", repr(value), "correct the port"))
        elif int(text) in ports:
            problems.append(Problem(where, "a port is listed once", text, "remove it, or give another one"))
        else:
            ports.append(int(text))
    return tuple(ports)


def read_variables(raw: object, where: str, secret: bool, problems: list[Problem]) -> dict[str, str]:
    """Return environment variables as text; a secret's value is never repeated."""
    if not isinstance(raw, Mapping):
        seen = "not a mapping" if secret else repr(raw)
        problems.append(Problem(where, "variables are a mapping of names to values", seen, "write NAME: value"))
        return {}
    for name, value in raw.items():
        if not _VARIABLE.match(str(name)) or str(name).startswith("STEELYARD_"):
            rule = "a variable is letters, digits and _, and does not start with STEELYARD_"
            problems.append(Problem(where, rule, repr(name), "rename it"))
        if isinstance(value, Mapping | list | tuple) or value is None:
            seen = type(value).__name__
            problems.append(Problem(f"{where}.{name}", "a variable's value is text", seen, "quote it, or use to_json"))
        elif _CONTROL.search(text_of(value)):
            problems.append(Problem(f"{where}.{name}", "a value holds no control characters", "one", "remove it"))
        elif secret and not text_of(value):
            problems.append(Problem(f"{where}.{name}", "a secret is not empty", "empty", "give it in a vault"))
    return {str(k): text_of(v) for k, v in raw.items()}


def read_number(parse: Callable[[object, str], Any], raw: object, where: str, problems: list[Problem]) -> Any:
    """Return what `parse` makes of a size, duration or quota; 0 when it refuses."""
    try:
        return parse(raw, where)
    except SteelyardError as err:
        problems += err.problems
        return 0


def whole_number(raw: object, where: str) -> int:
    """Return a whole number of at least 1; raises Refused."""
    if isinstance(raw, bool) or not str(raw).isdigit() or int(str(raw)) < 1:
        raise Refused("a whole number of at least 1", repr(raw), "correct the number", where)
    return int(str(raw))
