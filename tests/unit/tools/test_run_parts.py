"""A run of parts tells the truth: what failed, what did not run, and nothing is left running."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """tools/run_parts.py, which is a program and not a package."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        spec = importlib.util.spec_from_file_location("run_parts", ROOT / "tools/run_parts.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["run_parts"] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.fixture
def main(runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Runs the program over parts made for a test."""

    def run(*parts: tuple[str, str, int], options: tuple[str, ...] = ()) -> int:
        made = tuple(runner.Part(name, "a part", (sys.executable, "-c", code), 5, limit) for name, code, limit in parts)
        monkeypatch.setattr(runner, "PARTS", made)
        monkeypatch.setattr(runner, "LOGS", tmp_path / "log")
        monkeypatch.setattr(runner, "ROOT", tmp_path)
        monkeypatch.setattr(sys, "argv", ["run_parts", *options, *(name for name, _, _ in parts)])
        return int(runner.main())

    return run


def test_all_passed(main, capsys) -> None:
    """The last line counts, and the table shows what each part said last."""
    assert main(("one", "print('12 passed in 3 s')", 10), ("two", "pass", 10)) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "2 passed, 0 failed"
    assert "12 passed in 3 s" in out


def test_goes_on_after_a_failure_and_shows_its_output(main, capsys) -> None:
    """One run shows all that is wrong."""
    assert (
        main(("bad", "print('the reason'); raise SystemExit(3)", 10), ("good", "print('unseen detail\\nsum')", 10)) == 1
    )
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "1 passed, 1 failed"
    assert "| the reason" in out
    assert "\nunseen detail" not in out
    assert "| unseen" not in out


def test_what_did_not_run_did_not_pass(main, capsys) -> None:
    """With --stop the rest counts as failed."""
    assert main(("bad", "raise SystemExit(1)", 10), ("rest", "pass", 10), options=("--stop",)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 2 failed"


def test_a_part_is_ended_at_its_limit_with_all_it_started(main, capsys, tmp_path) -> None:
    """A child that outlives its part would disturb the next one."""
    pid = tmp_path / "pid"
    code = (
        f"import subprocess; p = subprocess.Popen(['sleep', '60']); open({str(pid)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    began = time.monotonic()
    assert main(("endless", code, 1)) == 1
    assert time.monotonic() - began < 20
    assert "limit of 1 s" in capsys.readouterr().out
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid.read_text()], capture_output=True, text=True, check=False)
    assert state.stdout.strip()[:1] in ("", "Z")


def test_unknown_part_is_refused(runner) -> None:
    """With the names of those there are."""
    with pytest.raises(SystemExit, match="no such part: lnit"):
        runner.chosen(None, ["lnit"])


def test_suites_name_parts_that_exist(runner) -> None:
    """And each part belongs to a suite, so that none is forgotten."""
    known = {part.name for part in runner.PARTS}
    used = {name for suite in runner.SUITES.values() for name in suite}
    assert used == known
