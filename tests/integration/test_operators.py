"""Two operators, and machines that have nothing yet."""

from __future__ import annotations

import pytest
from support.rehearsal import Rehearsal
from support.state import LEFTOVERS, assert_member, assert_nothing_left_behind

pytestmark = pytest.mark.core
ADD = "task-name:Add what is new to every pool"


def test_check_mode_on_a_bare_machine_changes_nothing(spare: Rehearsal) -> None:
    dry = spare.play("site", "--check", "--diff").ok()
    assert "api3" in dry.stats
    assert spare.shell("api3", LEFTOVERS).strip() == ""
    assert "inet steelyard" not in spare.shell("api3", "nft list tables")


def test_the_lease_excludes_a_second_operator_until_unlocked(spare: Rehearsal) -> None:
    killed = spare.play("scale", kill=ADD)
    assert killed.code == -9, killed.output
    other = spare.play("scale", env={"SUDO_USER": "mallory"})
    assert other.code == 2
    assert "exit_code: 4" in other.output
    assert "unlock" in other.output
    spare.play("unlock", env={"SUDO_USER": "mallory"}).ok()
    spare.play("scale", env={"SUDO_USER": "mallory"}).ok()
    assert_member(spare, "api3")
    assert_nothing_left_behind(spare)
