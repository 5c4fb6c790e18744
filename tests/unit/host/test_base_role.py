"""The role base: what its variables make of the accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

VARS = Path(__file__).resolve().parents[3] / "roles" / "base" / "vars" / "main.yml"


def sudoers(users: list[dict[str, Any]]) -> Any:
    names = ("__base_sudoers", "__base_users_absent")
    expressions = {k: trust_as_template(v) for k, v in yaml.safe_load(VARS.read_text()).items() if k in names}
    templar = Templar(loader=DataLoader(), variables={**expressions, "base_users": users})
    return templar.template(expressions["__base_sudoers"])


@pytest.mark.parametrize(
    ("account", "has_sudo"),
    [
        ({"sudo": True}, True),
        ({"sudo": True, "state": "present"}, True),
        ({"sudo": True, "state": "absent"}, False),
        ({"sudo": False, "state": "present"}, False),
        ({"state": "present"}, False),
    ],
    ids=["no state stated", "present", "absent", "no sudo", "sudo not stated"],
)
def test_only_who_is_absent_loses_sudo(account: dict[str, Any], has_sudo: bool) -> None:
    others = [{"name": "first", "sudo": True, "state": "present"}, {"name": "last", "state": "absent"}]
    assert sudoers([others[0], {"name": "deploy", **account}, others[1]]) == [
        "first",
        *(["deploy"] if has_sudo else []),
    ]
