"""A lab that a test edits like an operator: change the inventory, run a playbook, look at the machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import testinfra
import yaml
from support.runs import BIN, ROOT, Run, run
from testinfra.host import Host


@dataclass(frozen=True)
class Fault:
    """A command that is run, with `env` added, when a run gets to `place` (see the test callback)."""

    place: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


class Rehearsal:
    """A copy of an inventory under .build/, its lab, and the commands an operator would give."""

    def __init__(self, name: str, source: Path) -> None:
        self.name = name
        self.inventory = ROOT / ".build" / "rehearsal" / name
        if self.inventory.exists():
            shutil.rmtree(self.inventory)
        shutil.copytree(source, self.inventory)
        self.overlay = ROOT / ".lab" / name
        self._runs = 0
        self._edits: dict[Path, dict[str, Any]] = {}

    # -- the inventory ---------------------------------------------------------------------------------------
    @contextmanager
    def edit(self, file: str = "hosts.yml") -> Iterator[dict[str, Any]]:
        """Edit one YAML file of the inventory copy; it is written back when the block ends."""
        path = self.inventory / file
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        yield content
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    @contextmanager
    def edited(self, file: str) -> Iterator[dict[str, Any]]:
        """Edit one YAML file for the playbooks that run in the block; the file comes back when the block ends."""
        path = self.inventory / file
        before = path.read_text()
        self._edits[path] = yaml.safe_load(before)
        try:
            yield self._edits[path]
        finally:
            del self._edits[path]
            path.write_text(before)

    def _group(self, content: dict[str, Any], group: str) -> dict[str, Any]:
        return content[group]["hosts"]

    def add_host(self, group: str, host: str, **variables: Any) -> None:
        """Add a host line to a group."""
        with self.edit() as content:
            self._group(content, group)[host] = variables

    def mark(self, group: str, host: str, **variables: Any) -> None:
        """Set variables on a host line, e.g. `steelyard_state="leaving"`."""
        with self.edit() as content:
            hosts = self._group(content, group)
            hosts[host] = {**(hosts[host] or {}), **variables}

    def drop_host(self, group: str, host: str) -> None:
        """Delete a host line, as an operator does after the host has left."""
        with self.edit() as content:
            del self._group(content, group)[host]

    # -- the lab ---------------------------------------------------------------------------------------------
    def lab(self, verb: str, *words: str, timeout: float = 600) -> Run:
        """Run `steelyard lab VERB INVENTORY …`."""
        return run(*self.lab_words(verb, *words), timeout=timeout)

    def address(self, host: str) -> str:
        """Return the stand-in's address from the overlay."""
        return str(yaml.safe_load((self.overlay / "host_vars" / f"{host}.yml").read_text())["ansible_host"])

    def host(self, name: str) -> Host:
        """Return a stand-in as Testinfra sees it, as root, over SSH with the lab's own key."""
        keys = self.overlay / ".ssh"
        options = f"-F none -o UserKnownHostsFile={keys / 'known_hosts'} -o IdentitiesOnly=yes"
        return testinfra.get_host(
            f"ssh://operator@{self.address(name)}?sudo=true&ssh_identity_file={keys / 'id_ed25519'}",
            ssh_extra_args=options,
        )

    def shell(self, host: str, command: str) -> str:
        """Run a shell line on a stand-in as root and return what it printed; fails the test when it fails."""
        return str(self.host(host).check_output(command))

    # -- the playbooks ---------------------------------------------------------------------------------------
    def lab_words(self, verb: str, *words: str) -> tuple[str, ...]:
        """Return the command line of `lab`, for a fault."""
        return (str(BIN / "steelyard"), "lab", verb, str(self.inventory), *words)

    def play_words(self, playbook: str, *words: str) -> tuple[str, ...]:
        """Return the command line of `play`."""
        command = (BIN / "ansible-playbook", "-i", self.inventory, "-i", self.overlay, f"playbooks/{playbook}.yml")
        return (*map(str, command), *words)

    def play(
        self, playbook: str, *words: str, kill: str = "", env: dict[str, str] | None = None, fault: Fault | None = None
    ) -> Run:
        """Run a playbook on the lab; `kill` it with SIGKILL at that place, or have a `fault` there (see the callback)."""
        for path, content in self._edits.items():
            path.write_text(yaml.safe_dump(content, sort_keys=False))
        self._runs += 1
        record = ROOT / ".build" / "records" / f"{self.name}-{self._runs}.jsonl"
        record.parent.mkdir(parents=True, exist_ok=True)
        environment = {**(env or {}), **({"STEELYARD_TEST_KILL": kill} if kill else {})}
        if fault is not None:
            once = record.with_suffix(".fault")
            once.unlink(missing_ok=True)
            environment["STEELYARD_TEST_FAULT"] = json.dumps({**asdict(fault), "once": str(once)})
        done = run(*self.play_words(playbook, *words), env=environment, record=record, timeout=900)
        assert fault is None or done.struck, f"{fault.place} was not reached\n{done.output}"
        return done
