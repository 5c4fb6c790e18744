# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Invoke's program with the words in the order people expect: `steelyard lab up INVENTORY HOST...`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from invoke import Collection, Exit, Program
from invoke.exceptions import ParseError

REFUSED = 2


@dataclass(frozen=True)
class Grammar:
    """How the words of one task are read: how many are positional, which option takes the rest, which take a value."""

    positional: int
    rest: str = ""
    with_value: frozenset[str] = frozenset()


def rewrite(argv: Sequence[str], tasks: Mapping[str, Grammar]) -> tuple[list[str], list[str]]:
    """Return Invoke's notation for our command line, and what follows `--`. Pure.

    `lab cut INV a b` becomes `lab.cut INV --host=a --host=b`; what Invoke understands already is left as it is.
    """
    words, remainder = list(argv), []
    if "--" in words:
        at = words.index("--")
        words, remainder = words[:at], words[at + 1 :]
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    if first is None:
        return words, remainder
    groups = {name.rpartition(".")[0] for name in tasks}
    head, tail = words[: first + 1], words[first + 1 :]
    if head[-1] in groups and head[-1] not in tasks:
        group = head[-1]
        if not tail or tail[0].startswith("-"):
            return [*head[:-1], "--list", group], remainder
        head[-1], tail = f"{group}.{tail[0]}", tail[1:]
    grammar = tasks.get(head[-1])
    return (head + tail if grammar is None else head + _arguments(tail, grammar)), remainder


def _arguments(words: Sequence[str], grammar: Grammar) -> list[str]:
    positional, options = [], []
    expected = False
    for word in words:
        if expected or word.startswith("-"):
            options.append(word)
            expected = not expected and word in grammar.with_value
        elif len(positional) < grammar.positional or not grammar.rest:
            positional.append(word)
        else:
            options.append(f"--{grammar.rest}={word}")
    return positional + options


class SteelyardProgram(Program):
    """The command: our errors become messages and exit codes, and words come in the usual order."""

    def __init__(self, version: str, namespace: Collection) -> None:
        super().__init__(version=version, namespace=namespace, name="Steelyard", binary="steelyard")

    def parse_core(self, argv: list[str] | None) -> None:
        words = list(sys.argv if argv is None else argv)
        rewritten, remainder = rewrite(words[1:], grammars(self.namespace))
        with_rest = ["--", *remainder] if remainder else []
        try:
            super().parse_core([words[0], *rewritten, *with_rest])
        except ParseError as err:
            raise Exit(str(err), REFUSED) from err

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except ParseError as err:
            raise Exit(f"{err}\nSee: steelyard --help, or --help after a verb", REFUSED) from err

    def execute(self) -> None:
        self.config.load_overrides({"steelyard_remainder": self.core.remainder}, merge=True)
        try:
            super().execute()
        except SteelyardError as err:
            raise Exit(str(err), err.exit_code) from err
        except KeyboardInterrupt as err:
            raise Exit("interrupted; the same command goes on from here", 1) from err


def grammars(namespace: Collection) -> dict[str, Grammar]:
    """Return how each task's words are read, by its dotted name."""
    found: dict[str, Grammar] = {}
    for name in namespace.task_names:
        task: Any = namespace[name]
        arguments = task.get_arguments()
        rest = next((a.name for a in arguments if a.name == "host" and a.kind is list), "")
        flags = {
            f"--{spelling.replace('_', '-')}" for a in arguments if a.takes_value for spelling in (a.names or (a.name,))
        }
        found[name] = Grammar(len([a for a in arguments if a.positional]), rest, frozenset(flags))
    return found


def join(argv: Sequence[str]) -> str:
    """Return the command line as it can be pasted into a shell."""
    return shlex.join(argv)
