"""The transaction on a real directory: all or nothing, at every point where it can die."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.properties import examples

from ansible_collections.steelyard.stack.plugins.module_utils import fileset
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction, ValidationFailed, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.process import start_of

OWNER, GROUP = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


def wanted(root: Path, contents: dict[str, str], mode: int = 0o644) -> list[WantedFile]:
    return [WantedFile(str(root / name), text, mode, OWNER, GROUP) for name, text in contents.items()]


def tree(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "etc"
    found.mkdir()
    return found


def transaction(root: Path, contents: dict[str, str], absent: tuple[str, ...] = (), **more: object) -> Transaction:
    paths = tuple(str(root / name) for name in absent)
    return Transaction("t", wanted(root, contents), paths, state_dir=str(root.parent / "state"), **more)  # type: ignore[arg-type]


def converge(root: Path, contents: dict[str, str], absent: tuple[str, ...] = ()) -> int:
    with transaction(root, contents, absent) as t:
        count = len(t.plan())
        t.swap()
        t.commit()
    return count


def test_files_modes_and_parents(root: Path) -> None:
    with Transaction("t", wanted(root, {"a/b/c": "x\n"}, 0o640), state_dir=str(root.parent / "state")) as t:
        t.plan()
        t.swap()
        t.commit()
    assert (root / "a/b/c").stat().st_mode & 0o7777 == 0o640
    assert (root / "a/b").stat().st_mode & 0o7777 == 0o755
    assert converge(root, {"a/b/c": "x\n"}) == 1  # the mode alone
    assert converge(root, {"a/b/c": "x\n"}) == 0


def test_rollback_brings_everything_back(root: Path) -> None:
    converge(root, {"keep": "1\n", "gone": "2\n"})
    (root / "link").symlink_to("keep")
    (root / "gone").chmod(0o600)
    with transaction(root, {"keep": "new\n", "sub/new": "3\n", "link": "file\n"}, ("gone",)) as t:
        t.plan()
        t.swap()
        assert tree(root) == {"keep": "new\n", "sub/new": "3\n", "link": "file\n"}
        assert t.rollback()
    assert tree(root) == {"keep": "1\n", "gone": "2\n", "link": "1\n"}
    assert (root / "link").is_symlink()
    assert (root / "gone").stat().st_mode & 0o7777 == 0o600
    assert not (root / "sub").exists()
    assert not (root.parent / "state/t/pending").exists()


def test_nothing_is_left_after_a_commit(root: Path) -> None:
    converge(root, {"a": "1\n"})
    converge(root, {"a": "2\n"})
    assert [p.name for p in (root.parent / "state/t").iterdir()] == ["lock"]
    assert [p.name for p in root.iterdir()] == ["a"]


def test_an_unknown_owner_is_refused_before_anything(root: Path) -> None:
    converge(root, {"a": "1\n"})
    files = [*wanted(root, {"a": "2\n"}), WantedFile(str(root / "b"), "x", owner="no-such-account")]
    with Transaction("t", files, state_dir=str(root.parent / "state")) as t:
        t.plan()
        with pytest.raises(Refused, match="owner and group"):
            t.swap()
    assert tree(root) == {"a": "1\n"}


BEFORE = {"a": "1\n", "b": "1\n", "gone": "1\n"}
AFTER = {"a": "2\n", "b": "2\n", "new/c": "2\n"}
POINTS = range(1, 40)


def die_at(point: int, root: Path, how: str) -> bool:
    """Run the change in a child that is gone at the nth system call that matters; False when there is no such point."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def counted(real: object) -> object:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal count
                count += 1
                if count == point:
                    if how == "killed":
                        os._exit(7)
                    raise OSError(28, "No space left on device")
                return real(*args, **kwargs)  # type: ignore[operator]

            return call

        for name in ("replace", "unlink", "fsync", "mkdir", "open"):
            setattr(fileset.os, name, counted(getattr(os, name)))
        status = 0
        try:
            with transaction(root, AFTER, ("gone",)) as t:
                t.plan()
                t.swap()
        except OSError:
            status = 8
        finally:
            os._exit(status)
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) != 0


def test_killed_anywhere_the_next_run_finishes_or_goes_back(tmp_path: Path) -> None:
    died = 0
    for point in POINTS:
        for decide in ("finish", "back"):
            root = tmp_path / f"{point}-{decide}" / "etc"
            root.mkdir(parents=True)
            converge(root, BEFORE)
            if not die_at(point, root, "killed"):
                continue
            died += 1
            with transaction(root, AFTER, ("gone",)) as t:
                changes = t.plan()
                touched = {c.path for c in changes} | set(t.interrupted)
                assert {str(root / n) for n in ("a", "b", "gone", "new/c")} == touched
                t.swap()
                if decide == "finish":
                    t.commit()
                else:
                    t.rollback()
            assert tree(root) == (AFTER if decide == "finish" else BEFORE), point
            assert [p.name for p in (root.parent / "state/t").iterdir()] == ["lock"]
    assert died > 20


def test_a_full_disk_leaves_what_was(tmp_path: Path) -> None:
    died = 0
    for point in POINTS:
        root = tmp_path / str(point) / "etc"
        root.mkdir(parents=True)
        converge(root, BEFORE)
        if not die_at(point, root, "full"):
            continue
        died += 1
        assert tree(root) in (BEFORE, AFTER), point
    assert died > 10


def test_validation_sees_the_staged_tree_and_changes_nothing(root: Path) -> None:
    converge(root, {"main.conf": "include part.conf\n", "part.conf": "good\n"})
    argv = ["grep", "-q", "good", "{stage}/part.conf"]
    with transaction(root, {"main.conf": "m\n", "part.conf": "bad\n"}, stage_root=str(root), validate_argv=argv) as t:
        t.plan()
        stage = t.stage()
        assert tree(stage) == {"main.conf": "m\n", "part.conf": "bad\n"}
        assert stage.parent.stat().st_mode & 0o077 == 0
        with pytest.raises(ValidationFailed) as caught:
            t.validate()
    assert caught.value.problems[0].seen
    assert "nothing was changed" in str(caught.value)
    assert not stage.exists()
    assert tree(root)["part.conf"] == "good\n"


def test_validation_without_a_tree_holds_the_whole_set(root: Path) -> None:
    converge(root, {"a": "1\n", "b": "1\n"})
    argv = ["cat", f"{{stage}}{root}/a", f"{{stage}}{root}/b"]
    with transaction(root, {"a": "1\n", "b": "2\n"}, validate_argv=argv) as t:
        t.plan()
        t.stage()
        t.validate()  # a file that does not change is there for the checker too
    assert tree(root) == {"a": "1\n", "b": "1\n"}


def test_a_staged_copy_is_private_beside_the_state_and_nothing_stays_of_it(root: Path) -> None:
    state = root.parent / "state"
    with transaction(root, {"a": "x\n"}) as t:
        t.plan()
        place = t.stage()
        assert place.is_relative_to(state)
        assert (state / "t").stat().st_mode & 0o777 == 0o700
    assert not state.exists()


def test_what_killed_runs_staged_is_wiped_and_what_others_work_with_is_not(root: Path) -> None:
    home = root.parent / "state" / "t"
    parent = os.getppid()
    killed, another = home / f"stage-{parent}-1-abc", home / f"stage-{parent}-{start_of(parent)}-abc"
    for place in (killed, another):
        place.mkdir(parents=True)
        (place / "secret").write_text("s")
    with transaction(root, {"a": "x\n"}) as t:
        t.plan()
        t.swap()
        assert not killed.exists()
        assert another.exists()
        t.commit()


def test_a_missing_checker_is_refused_by_name(root: Path) -> None:
    with transaction(root, {"a": "1\n"}, validate_argv=["no-such-checker"]) as t:
        t.plan()
        t.stage()
        with pytest.raises(Refused, match="no-such-checker"):
            t.validate()


names = st.sampled_from(["a", "b", "c/d", "c/e", "f"])
trees = st.dictionaries(names, st.text(alphabet="xyz\n", max_size=4), max_size=5)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=trees, second=trees, absent=st.sets(names))
def test_apply_then_plan_again_nothing_is_left(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str], absent: set[str]
) -> None:
    root = tmp_path_factory.mktemp("p") / "etc"
    root.mkdir()
    gone = tuple(sorted(absent - second.keys()))
    converge(root, first)
    converge(root, second, gone)
    assert converge(root, second, gone) == 0
    assert tree(root) == {n: t for n, t in {**first, **second}.items() if n not in gone}
