# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Invoke's program with the words in the order people expect: `steelyard lab up INVENTORY HOST...`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from invoke import Collection, Exit, Program
from invoke.exceptions import ParseError

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError

REFUSED = 2
HELP_FLAGS = ("-h", "--help")
REST = "host"  # the repeatable option that takes the words left over


@dataclass(frozen=True)
class Grammar:
    """How the words of one task are read: the positional ones, the option that takes the rest, those with a value."""

    positional: tuple[str, ...] = ()
    rest: str = ""
    with_value: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CommandLine:
    """A command line in Invoke's notation, and the words after `--` as they came."""

    words: tuple[str, ...]
    remainder: tuple[str, ...] = ()


def rewrite(argv: Sequence[str], tasks: Mapping[str, Grammar]) -> CommandLine:
    """Return Invoke's notation for our command line. Pure.

    `lab cut INV a b` becomes `lab.cut INV --host=a --host=b`; what Invoke understands already is left as it is.
    """
    words = list(argv)
    remainder: tuple[str, ...] = ()
    if "--" in words:
        at = words.index("--")
        words, remainder = words[:at], tuple(words[at + 1 :])
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    if first is None or any(word in HELP_FLAGS for word in words[:first]):
        asked = [word for word in words if not word.startswith("-")]
        return CommandLine(tuple(_help_on(asked, tasks) if asked else words), remainder)
    head, tail = words[: first + 1], words[first + 1 :]
    plain = [word for word in tail if not word.startswith("-")]
    if head[-1] in _groups(tasks) and (not plain or any(word in HELP_FLAGS for word in tail)):
        return CommandLine(tuple(_help_on([head[-1], *plain], tasks)), remainder)
    if head[-1] in _groups(tasks):
        head[-1], tail = f"{head[-1]}.{tail[0]}", tail[1:]
    grammar = tasks.get(head[-1])
    if grammar is None or any(word in HELP_FLAGS for word in tail):
        return CommandLine((*head, *tail), remainder)
    return CommandLine((*head, *_arguments(tail, grammar)), remainder)


def _groups(tasks: Mapping[str, Grammar]) -> set[str]:
    return {name.rpartition(".")[0] for name in tasks} - {""}


def _help_on(words: Sequence[str], tasks: Mapping[str, Grammar]) -> list[str]:
    """A verb's help, else its group's list; Invoke says what is wrong with a word that is neither."""
    name = ".".join(words[:2])
    if name not in tasks and words[0] in _groups(tasks):
        return ["--list", words[0]] if len(words) == 1 else ["--help", name]
    return ["--help", name if name in tasks else words[0]]


def _arguments(words: Sequence[str], grammar: Grammar) -> list[str]:
    positional: list[str] = []
    options: list[str] = []
    expected = False
    for word in words:
        if expected or word.startswith("-"):
            options.append(word)
            expected = not expected and word in grammar.with_value
        elif len(positional) < len(grammar.positional) or not grammar.rest:
            positional.append(word)
        else:
            options.append(f"--{grammar.rest}={word}")
    return positional + options


def grammars(namespace: Collection) -> dict[str, Grammar]:
    """Return how each task's words are read, by its dotted name."""
    found: dict[str, Grammar] = {}
    for name in namespace.task_names:
        task: Any = copy(namespace[name])
        task.help = dict(task.help)  # Invoke takes the texts out as it reads them
        arguments = task.get_arguments()
        rest = next((a.name for a in arguments if a.name == REST and a.kind is list), "")
        flags = {
            f"--{spelling.replace('_', '-')}" for a in arguments if a.takes_value for spelling in (a.names or (a.name,))
        }
        positional = tuple(a.name for a in arguments if a.positional)
        found[name] = Grammar(positional, rest, frozenset(flags))
    return found


class SteelyardProgram(Program):
    """The command: our errors become messages and exit codes, and words come in the usual order."""

    def __init__(self, version: str, namespace: Collection, expected: tuple[type[Exception], ...] = ()) -> None:
        """`expected`: exceptions of libraries that deserve a sentence in place of a traceback."""
        super().__init__(version=version, namespace=namespace, name="Steelyard", binary="steelyard")
        self.remainder: tuple[str, ...] = ()
        self.grammars = grammars(namespace)
        self.expected = expected

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the command line in our notation."""
        words = list(sys.argv if argv is None else argv)
        line = rewrite(words[1:], self.grammars)
        self.remainder = line.remainder
        try:
            super().parse_core([words[0], *line.words])
        except ParseError as err:
            raise _refused(err) from err

    def parse_tasks(self) -> None:
        """Read the verb and its options; a mistake there is refused input."""
        try:
            super().parse_tasks()
        except ParseError as err:
            raise _refused(err) from err

    def parse_cleanup(self) -> None:
        """Answer --help and --list; asking about what does not exist is refused input."""
        try:
            super().parse_cleanup()
        except ParseError as err:
            raise _refused(err) from err

    def execute(self) -> None:
        """Run the verb, which finds the words after `--` in its configuration."""
        self.config.load_overrides({"remainder": list(self.remainder)})
        try:
            super().execute()
        except SteelyardError as err:
            raise Exit(f"{self.binary}: {err}", err.exit_code) from err
        except self.expected as err:
            raise Exit(f"{self.binary}: {type(err).__name__}: {err}", 1) from err
        except KeyboardInterrupt as err:
            raise Exit("interrupted; the same command goes on from here", 1) from err

    def print_help(self) -> None:
        """Print all verbs."""
        print(f"Usage: {self.binary} VERB [OPTIONS]\n")
        self._print_verbs(sorted(self.grammars))
        print(f"\nMore on one: {self.binary} VERB --help. Version: {self.binary} --version")

    def list_tasks(self) -> None:
        """Print the verbs of one group."""
        root = str(getattr(self, "list_root", "") or "")
        if not root:
            self.print_help()
            return
        about = inspect.getdoc(self.collection.subcollection_from_path(root)) or ""
        print(f"Usage: {self.binary} {root} VERB INVENTORY [OPTIONS]\n\n{about.strip()}\n")
        self._print_verbs([name for name in self.grammars if name.startswith(f"{root}.")])
        print(f"\nMore on one: {self.binary} {root} VERB --help")

    def _print_verbs(self, names: Sequence[str]) -> None:
        width = max(len(name) for name in names)
        for name in names:
            first = (inspect.getdoc(self.collection[name]) or "").split("\n\n")[0].replace("\n", " ")
            print(f"  {name.replace('.', ' '):<{width}}  {first}")

    def print_task_help(self, name: str) -> None:
        """Print how one verb is used, with its examples."""
        grammar = self.grammars[name]
        words = [word.upper() for word in grammar.positional] + (
            [f"[{grammar.rest.upper()}...]"] if grammar.rest else []
        )
        print(f"Usage: {self.binary} {name.replace('.', ' ')} {' '.join(words)} [OPTIONS]\n")
        print(inspect.getdoc(self.collection[name]) or "")
        options = [
            (flags, text)
            for flags, text in self.parser.contexts[name].help_tuples()
            if flags.lstrip("-").partition("=")[0].partition(" ")[0] not in (*grammar.positional, grammar.rest)
        ]
        if options:
            print("\nOptions:")
            self.print_columns(options)


def _refused(err: ParseError) -> Exit:
    return Exit(f"steelyard: {err}. Remedy: steelyard --help, or --help after a verb", REFUSED)
