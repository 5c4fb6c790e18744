"""What is compared: cases as data, the digest, diffs that mask secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.activation import Activation, verbs
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import (
    Change,
    SeenFile,
    WantedFile,
    digest,
    plan_files,
)

HERE = Path(__file__).parent


@pytest.mark.parametrize("case", load_cases(HERE / "cases"))
def test_plan(case: dict[str, Any]) -> None:
    seen = {path: SeenFile(**raw) for path, raw in case["seen"].items()}
    wanted = [WantedFile(**raw) for raw in case["wanted"]]
    if "refusal" in case:
        with pytest.raises(Refused, match=case["refusal"]) as caught:
            plan_files(seen, wanted, case.get("absent", ()))
        assert caught.value.problems[0].remedy
        return
    changes = plan_files(seen, wanted, case.get("absent", ()))
    assert [[c.action, c.path] for c in changes] == case["changes"]


@pytest.mark.parametrize("case", load_cases(HERE / "verbs"))
def test_verbs(case: dict[str, Any]) -> None:
    raw = {k: tuple(v) if isinstance(v, list) else v for k, v in case["activation"].items()}
    assert list(verbs(Activation(**raw), case["unit"], case["touched"], case.get("loaded"))) == case["verbs"]


@pytest.mark.parametrize("path", ["relative", "/etc/../etc/passwd", "/etc//a", "/etc/a/"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        WantedFile(path, "")


def test_digest_knows_content_mode_and_owner_but_not_order_or_seeds() -> None:
    a, b = WantedFile("/a", "1"), WantedFile("/b", "2")
    assert digest([a, b]) == digest([b, a]) == digest([b, a, WantedFile("/seed", "x", keep=True)])
    others = [WantedFile("/a", "9"), WantedFile("/a", "1", mode=0o600), WantedFile("/a", "1", owner="www-data")]
    assert len({digest([f, b]) for f in [a, *others]}) == 4
    assert len(digest([])) == 16


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_secret_is_in_no_diff(mode: int) -> None:
    before = SeenFile("file", "hunter1", mode, "root", "root")
    secret = WantedFile("/k", "hunter2", mode=0o600, secret=True)
    for change in (Change("/k", "create", None, secret), Change("/k", "modify", before, secret)):
        text = str(change.as_diff())
        assert "hunter" not in text
        assert "secret" in text


def test_a_removed_private_file_is_not_shown() -> None:
    assert "hunter" not in str(Change("/k", "remove", SeenFile("file", "hunter1", 0o600), None).as_diff())
    assert "shown" in str(Change("/k", "remove", SeenFile("file", "shown", 0o644), None).as_diff())


def test_the_diff_of_a_modified_file_has_both_contents_and_modes() -> None:
    before = SeenFile("file", "old\n", 0o644, "root", "root")
    found = Change("/k", "modify", before, WantedFile("/k", "new\n", mode=0o640)).as_diff()
    assert found["before"] == "# 0644 root:root\nold\n"
    assert found["after"] == "# 0640 root:root\nnew\n"
