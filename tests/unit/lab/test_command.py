# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line: words in the usual order, help for every verb, and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.lab import tasks
from steelyard.lab.faults import Cuts
from steelyard.lab.inventory import VaultOptions
from steelyard.lab.model import Inventory, SeenLab, WantedHost
from steelyard.program import CommandLine, Grammar, rewrite

VERBS = ("cut", "down", "exec", "heal", "kill", "ssh", "start", "status", "up")
TASKS = {
    "lab.up": Grammar(("inventory",), "", frozenset({"--name", "--memory"})),
    "lab.cut": Grammar(("inventory",), "host", frozenset({"--name"})),
    "lab.exec": Grammar(("inventory", "host")),
}


@pytest.mark.parametrize(
    ("words", "wanted", "rest"),
    [
        ("", "", ""),
        ("--version", "--version", ""),
        ("--help", "--help", ""),
        ("lab", "--list lab", ""),
        ("lab --help", "--list lab", ""),
        ("--help lab", "--list lab", ""),
        ("lab up --help", "--help lab.up", ""),
        ("lab up inv --help", "--help lab.up", ""),
        ("--help lab up", "--help lab.up", ""),
        ("lab frob --help", "--help lab.frob", ""),
        ("lab up inv", "lab.up inv", ""),
        ("lab.up inv", "lab.up inv", ""),
        ("lab up --name x inv", "lab.up inv --name x", ""),
        ("lab up inv --name=x --memory 4gb", "lab.up inv --name=x --memory 4gb", ""),
        ("lab cut inv a b", "lab.cut inv --host=a --host=b", ""),
        ("lab cut inv --name x a", "lab.cut inv --name x --host=a", ""),
        ("lab cut inv a --control", "lab.cut inv --host=a --control", ""),
        ("lab exec inv api1 -- ls -l --help", "lab.exec inv api1", "ls -l --help"),
        ("frob x", "frob x", ""),
    ],
)
def test_rewrite(words: str, wanted: str, rest: str) -> None:
    assert rewrite(words.split(), TASKS) == CommandLine(tuple(wanted.split()), tuple(rest.split()))


def steelyard(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "steelyard.main", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | environment)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb: str, tmp_path: Path) -> None:
    done = steelyard("lab", verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Usage: steelyard lab {verb} INVENTORY" in done.stdout
    assert f"\n  steelyard lab {verb} inventories/market" in done.stdout


def test_the_help_texts_know_every_verb() -> None:
    assert sorted(tasks.namespace.task_names) == sorted(VERBS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lab up", "inventory"),
        ("lab frob", "frob"),
        ("lab up inv --bla", "--bla"),
        ("lab kill inv api1", "Docker engine answers"),
        ("frob", "frob"),
    ],
)
def test_bad_input_is_exit_2(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "inv").mkdir()
    done = steelyard(*words.split(), cwd=tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


class FoundLab:
    """A lab without stand-ins, and what was asked of its inventory."""

    name, inventory = "shop", Path("shop")
    place = type("Place", (), {"folder": Path(".lab/shop")})

    def seen(self) -> SeenLab:
        return SeenLab(self.name)

    def cuts(self) -> Cuts:
        return Cuts()


def test_status_reads_every_source_that_up_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else it would say of hosts from a further source that the inventory does not name them."""
    read: list[tuple[Path, ...]] = []

    def read_inventory(path: Path, _vault: VaultOptions, also: tuple[Path, ...] = ()) -> Inventory:
        read.append((path, *also))
        return Inventory("shop", (WantedHost("api9", ("api",)),))

    monkeypatch.setattr(tasks.lab, "find_lab", lambda _inventory, _name: FoundLab())
    monkeypatch.setattr(tasks, "read_inventory", read_inventory)
    tasks.status.body(None, "shop", also=["more.yml", "yet-more.yml"])
    assert read == [(Path("shop"), Path("more.yml"), Path("yet-more.yml"))]
    assert "api9" in capsys.readouterr().out


def test_it_runs_from_anywhere(tmp_path: Path) -> None:
    done = steelyard("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Steelyard ")
