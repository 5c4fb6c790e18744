"""The executor over a kernel that is simulated: what is armed, confirmed, taken back and left alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.apply import apply_plan, confirm, read
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import EARLIER, PeerSet, Rule, Table
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.parse import SeenTable
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.plan import CHAINS, KEEP_NOBODY, Keep, make_plan

WANTED = Table(True, (Rule("ssh", "tcp dport 22 accept"),), (PeerSet("api_v4", "ipv4_addr", ("10.0.0.5",)),))


class Kernel:
    """Remembers the calls; loading the wanted text puts the wanted table in force."""

    def __init__(self, table: SeenTable | None = None) -> None:
        self.table = table
        self.timer = False
        self.files = ""
        self.calls: list[str] = []

    def read(self) -> tuple[SeenTable | None, str]:
        return self.table, ""

    def require_nft(self) -> None:
        pass

    def load(self, text: str) -> None:
        self.calls.append("load elements" if "element" in text and "chain" not in text else "load table")
        self.text = text
        self.table = table_as(WANTED)

    def arm(self, seconds: float, keep: bool = False) -> None:
        self.calls.append("arm")
        if not keep:
            self.before = self.table
        self.timer = True

    def fire(self) -> None:
        self.table, self.timer = self.before, False

    def armed(self) -> bool:
        return self.timer

    def disarm(self) -> None:
        self.timer = False

    def forget_rollback(self) -> None:
        self.calls.append("forget")

    def persisted(self, text: str) -> bool:
        return self.files == text

    def persist(self, text: str) -> None:
        self.calls.append("persist")
        self.files = text

    def anything_persisted(self) -> bool:
        return bool(self.files)

    def remove(self) -> None:
        self.table, self.files = None, ""

    def earlier_connections(self) -> list[str]:
        return ["10.9.9.9 . 40000 . 5432"]


def table_as(wanted: Table, **elements: tuple[str, ...]) -> SeenTable:
    sets = {s.name: (s.kind, elements.get(s.name, s.elements)) for s in wanted.sets}
    sets |= {name: (f"{kind} . inet_service . inet_service", ()) for name, kind in EARLIER.items()}
    return SeenTable(tuple(rule.comment for rule in wanted.rules), sets, CHAINS)


def run(kernel: Any) -> bool:
    seen = read(kernel, WANTED, "", KEEP_NOBODY)
    return apply_plan(kernel, make_plan(seen, WANTED, "h1"), seen, WANTED, KEEP_NOBODY, 10)


def test_armed_before_it_is_loaded_and_persisted_only_when_confirmed() -> None:
    kernel: Any = Kernel()
    assert run(kernel)
    assert kernel.calls == ["arm", "load table"]
    assert kernel.files == ""
    assert "10.9.9.9 . 40000 . 5432" in kernel.text
    confirm(kernel, WANTED, KEEP_NOBODY)
    assert kernel.calls == ["arm", "load table", "persist", "forget"]
    assert "10.9.9.9" not in kernel.files
    assert not run(kernel)
    assert kernel.calls[4:] == []


def test_taken_back_when_nobody_confirms_in_time() -> None:
    kernel: Any = Kernel()
    run(kernel)
    kernel.fire()
    with pytest.raises(GateNotPassed, match="the former rule set is back"):
        confirm(kernel, WANTED, KEEP_NOBODY)
    assert kernel.table is None
    assert kernel.files == ""


def test_confirmed_by_the_next_run_when_the_control_machine_died() -> None:
    kernel: Any = Kernel()
    run(kernel)
    assert run(kernel)
    assert kernel.calls == ["arm", "load table", "arm"]
    assert kernel.before is None
    confirm(kernel, WANTED, KEEP_NOBODY)
    assert not run(kernel)


def test_a_second_trial_keeps_the_way_back_to_what_was_confirmed() -> None:
    confirmed = SeenTable(("confirmed",), {}, CHAINS)
    kernel: Any = Kernel(confirmed)
    run(kernel)
    kernel.table = SeenTable(("on trial, and shuts everybody out",), {}, CHAINS)
    assert run(kernel)
    kernel.fire()
    assert kernel.table is confirmed


def test_a_table_that_is_removed_on_trial_does_not_come_back() -> None:
    kernel: Any = Kernel(SeenTable(("confirmed",), {}, CHAINS))
    run(kernel)
    off = Table(False)
    seen = read(kernel, off, "", KEEP_NOBODY)
    assert not apply_plan(kernel, make_plan(seen, off, "h1"), seen, off, KEEP_NOBODY, 10)
    assert kernel.table is None
    assert not kernel.timer


def test_a_confirmation_whose_answer_got_lost_is_given_again() -> None:
    kernel: Any = Kernel()
    run(kernel)
    confirm(kernel, WANTED, KEEP_NOBODY)
    confirm(kernel, WANTED, KEEP_NOBODY)
    assert kernel.files
    assert not run(kernel)


class Commands(Client):
    """Keeps what it would run, and answers with the table of the moment."""

    def __init__(self, state_dir: str) -> None:
        super().__init__(state_dir)
        self.present = "first"

    def current_text(self) -> str:
        return self.present


@pytest.mark.parametrize(("keep", "kept"), [(True, "first"), (False, "second")])
def test_arming_again_writes_the_way_back_only_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, kept: str
) -> None:
    ran: list[list[str]] = []

    def execute(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr("subprocess.run", execute)
    client = Commands(str(tmp_path / "state"))
    client.arm(10, keep=True)  # nothing is there yet: it is written
    client.present = "second"
    client.arm(10, keep=keep)
    assert Path(client.rollback_file).read_text() == kept
    assert [a[0] for a in ran if a[0] == "systemd-run"] == ["systemd-run"] * 2


def test_peers_alone_are_neither_armed_nor_loaded_as_a_table() -> None:
    kernel: Any = Kernel(table_as(WANTED, api_v4=("10.0.0.4",)))
    assert not run(kernel)
    assert kernel.calls == ["load elements", "persist"]


def test_a_replaced_table_does_not_let_unknown_connections_in() -> None:
    kernel: Any = Kernel(SeenTable(("other",), {}, CHAINS))
    assert run(kernel)
    assert "10.9.9.9" not in kernel.text


def test_a_stranger_that_is_kept_is_in_the_files_for_the_next_boot_too() -> None:
    kernel: Any = Kernel(table_as(WANTED, api_v4=("10.0.0.4", "10.0.0.5")))
    keep = Keep(leaving=True, unknown=True)
    seen = read(kernel, WANTED, "", keep)
    plan = make_plan(seen, WANTED, "h1", keep)
    assert [s.verb for s in plan.steps] == ["persist"]
    apply_plan(kernel, plan, seen, WANTED, keep, 10)
    assert "10.0.0.4, 10.0.0.5" in kernel.files
    assert kernel.calls == ["persist"]
    assert make_plan(read(kernel, WANTED, "", keep), WANTED, "h1", keep).steps == ()
