"""What the demo shows of the commands that it runs: a line each, and the end of the log of one that fails."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from support.runs import ROOT

RECAP = """
PLAY RECAP ****
api1                       : ok=21   changed=5    unreachable=0    failed=0
lb1                        : ok=24   changed=0    unreachable=0    failed=0
"""


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "tools/demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / module.LOG).parent.mkdir()
    return module


def test_output_goes_to_the_log_and_not_to_the_screen(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run("python", "-c", "print('many words')") == "many words\n"
    shown = capsys.readouterr().out
    assert shown.startswith("$ python -c ")
    assert "many words\n" not in shown
    assert "many words\n" in (demo.ROOT / demo.LOG).read_text()


def test_a_failure_shows_the_end_of_the_log(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    demo.run("python", "-c", "print('an earlier command')")
    with pytest.raises(SystemExit, match=str(demo.LOG)):
        demo.run("python", "-c", "[print('line', n) for n in range(100)]; raise SystemExit(3)")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "line 99"
    assert len([line for line in lines if line.startswith("line ")]) == demo.TAIL


def test_a_plan_is_taken_from_the_run_that_made_it(demo: ModuleType, tmp_path: Path) -> None:
    assert demo.scale_plan(tmp_path) is None
    plan = {"service": "fleet", "cluster": "main", "fingerprint": "0", "steps": [], "refusals": [], "notes": []}
    for number, action in enumerate(("nginx_pool", "scale_plan", "lease")):
        answer = {"action": f"steelyard.stack.{action}", "plan": plan if action == "scale_plan" else None}
        (tmp_path / f"{number}.json").write_text(json.dumps(answer))
    assert "fleet main" in demo.scale_plan(tmp_path).as_table()


def test_the_recap_names_the_hosts_that_changed(demo: ModuleType) -> None:
    assert demo.recap(RECAP) == "changes: api1 5"
    assert demo.recap(RECAP.replace("=5", "=0")) == "changes: none"


def test_the_closing_commands_are_aligned(demo: ModuleType) -> None:
    commands = demo.closing("http://10.213.0.12").splitlines()[1:]
    assert len({line.rindex("# ") for line in commands}) == 1
    assert max(map(len, commands)) <= 140
