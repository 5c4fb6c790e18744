# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's smaller parts: names, engine, image recipe, /etc/hosts, status."""

from __future__ import annotations

import io
import subprocess
import tarfile
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from steelyard.lab import engine, image, lab, machines
from steelyard.lab.faults import Cuts
from steelyard.lab.hostsfile import BEGIN, END, hosts_file
from steelyard.lab.model import MIB, Inventory, SeenLab, SeenStandIn, WantedHost
from steelyard.lab.tasks import next_steps, status_rows


@pytest.mark.parametrize(
    ("path", "given_name", "wanted"),
    [
        ("inventories/market", None, "market"),
        ("inventories/market/hosts.yml", None, "market"),
        ("inventories/Market", None, "market"),
        ("inventories/market", "second", "second"),
    ],
)
def test_lab_name(path: str, given_name: str | None, wanted: str) -> None:
    assert lab.lab_name(Path(path), given_name) == wanted


def test_a_file_without_a_suffix_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "hosts").write_text("api1\n")
    assert lab.lab_name(tmp_path / "shop" / "hosts", None) == "shop"


@pytest.mark.parametrize("name", ["a b", "-x", "ä", "x" * 60, "a/b", ".."])
def test_bad_lab_name(name: str) -> None:
    with pytest.raises(Refused):
        lab.lab_name(Path("inv"), name)


class TestEngine:
    NOTHING = engine.Seen("no socket", ("docker.io", "iptables", "iproute2", "mmdebstrap"))

    def test_a_machine_with_all_of_it(self) -> None:
        assert engine.decide(engine.Seen(engine.ANSWERS, ())) == engine.Plan()

    def test_a_fresh_machine(self) -> None:
        assert engine.decide(self.NOTHING) == engine.Plan(self.NOTHING.missing, "directly")

    def test_an_engine_that_is_not_running(self) -> None:
        assert engine.decide(engine.Seen("no socket", (), systemd=True)) == engine.Plan((), "systemd")

    def test_someone_elses_engine_is_not_replaced(self) -> None:
        seen = engine.Seen(engine.ANSWERS, ("docker.io", "iptables", "mmdebstrap"))
        assert engine.decide(seen) == engine.Plan(("mmdebstrap",))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"may_install": False}, "STEELYARD_NO_INSTALL"),
            ({"apt": False}, "own way"),
            ({"remote": True}, "DOCKER_HOST"),
            ({"forbidden": True}, "group docker"),
        ],
    )
    def test_refusals(self, change: dict[str, bool], said: str) -> None:
        with pytest.raises(Refused, match=said):
            engine.decide(engine.Seen(self.NOTHING.answer, self.NOTHING.missing, **change))

    def test_installing_switched_off_matters_only_when_something_is_missing(self) -> None:
        assert engine.decide(engine.Seen("no socket", (), may_install=False)) == engine.Plan((), "directly")

    @pytest.mark.parametrize(("content", "stale"), [("1", True), ("not a number", True), ("999999999", True)])
    def test_stale_pid_files(self, content: str, stale: bool, tmp_path: Path) -> None:
        (tmp_path / "pid").write_text(content)
        assert engine.stale(tmp_path / "pid") is stale

    def test_no_pid_file(self, tmp_path: Path) -> None:
        assert not engine.stale(tmp_path / "pid")

    @pytest.mark.parametrize(("uid", "words"), [(0, 1), (1000, 2)])
    def test_an_ordinary_user_builds_with_sudo_where_namespaces_are_forbidden(
        self, uid: int, words: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[list[str]] = []

        def run(argv: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
            tried.append(argv)
            return subprocess.CompletedProcess(argv, 0 if argv[0] == "sudo" else 1, "", f"E: {image.NO_NAMESPACES}")

        monkeypatch.setattr(image.os, "geteuid", lambda: uid)
        monkeypatch.setattr(image.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(image.subprocess, "run", run)
        if uid == 0:
            with pytest.raises(SteelyardError, match="mmdebstrap"):
                image._run(["mmdebstrap"])
        else:
            image._run(["mmdebstrap"])
        assert [argv[0] for argv in tried] == ["mmdebstrap", "sudo"][:words]

    def test_usage(self) -> None:
        assert engine.main([]) == 2


def members(recipe: image.Recipe) -> dict[str, tarfile.TarInfo]:
    """What the archive of a recipe's files has, by name."""
    with tarfile.open(fileobj=io.BytesIO(image.files_tar(recipe))) as tar:
        return {member.name: member for member in tar}


class TestImage:
    def test_the_tag_follows_recipe_and_release(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(image, "CERTIFICATES", tmp_path)
        first = image.make_recipe("trixie").tag
        assert first == image.make_recipe("trixie").tag
        assert first.startswith("steelyard-lab:trixie-")
        assert image.make_recipe("bookworm").tag != first
        monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "one-more"))
        assert image.make_recipe("trixie").tag != first

    def test_a_new_certificate_makes_a_new_image(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(image, "CERTIFICATES", tmp_path)
        before = image.make_recipe("trixie")
        (tmp_path / "company.crt").write_text("PEM")
        after = image.make_recipe("trixie")
        assert before.tag != after.tag
        names = members(after)
        assert str((tmp_path / "company.crt").relative_to("/")) in names

    def test_an_unknown_release_is_refused(self) -> None:
        with pytest.raises(Refused, match="bookworm"):
            image.make_recipe("sid")

    def test_files_have_their_modes(self) -> None:
        found = members(image.make_recipe("trixie"))
        assert set(image.EXECUTABLE + image.PRIVATE) <= set(found)
        for name, member in found.items():
            assert (member.uid, member.gid) == (0, 0)
            wanted = 0o755 if name in image.EXECUTABLE else 0o440 if name in image.PRIVATE else 0o644
            assert member.mode == wanted

    def test_the_machines_own_archive_is_used(self) -> None:
        uris = ("http://other.test/x/", "http://m.test/debian/", "http://m.test/debian-security/")
        assert image.source_lines("trixie", uris) == (
            "deb http://m.test/debian trixie main",
            "deb http://m.test/debian trixie-updates main",
            "deb http://m.test/debian-security trixie-security main",
        )

    def test_without_one_the_builder_decides(self) -> None:
        assert image.source_lines("trixie", ("http://archive.test/ubuntu/",)) == ()


names = st.dictionaries(
    st.sampled_from(["api1", "api2.example.org", "lb1", "10.9.8.7"]), st.integers(10, 99), min_size=1
).filter(lambda d: len(set(d.values())) == len(d))


class TestHostsFile:
    DOCKER = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.213.0.10\tapi1\n"

    def test_names_resolve_both_ways(self) -> None:
        addresses = {"lb1": IPv4Address("10.213.0.11"), "api1.example.org": IPv4Address("10.213.0.10")}
        content = hosts_file(self.DOCKER, addresses)
        assert content.splitlines()[2:] == [BEGIN, "10.213.0.10\tapi1.example.org api1", "10.213.0.11\tlb1", END]

    @given(names, names, st.lists(st.sampled_from(["192.0.2.1 gw", "# note", ""]), max_size=3))
    def test_stable_and_keeps_what_others_wrote(
        self, first: dict[str, int], second: dict[str, int], others: list[str]
    ) -> None:
        def addressed(entries: dict[str, int]) -> dict[str, IPv4Address]:
            return {name: IPv4Address("10.213.0.0") + offset for name, offset in entries.items()}

        existing = "\n".join([*self.DOCKER.splitlines(), *others]) + "\n"
        changed = hosts_file(hosts_file(existing, addressed(first)), addressed(second))
        assert hosts_file(changed, addressed(second)) == changed
        assert changed.count(BEGIN) == changed.count(END) == 1
        for line in ["127.0.0.1\tlocalhost", *others]:
            assert line in changed.splitlines()


def stand_in(host: str, state: str = "running") -> SeenStandIn:
    return SeenStandIn(host, host, state, IPv4Address("10.213.0.10"), 512 * MIB, 2.0, "trixie")


def test_status_shows_every_host_and_forgotten_stand_ins() -> None:
    inventory = Inventory("/inv", (WantedHost("api1", ("api",)), WantedHost("api2", ("api",))))
    seen = SeenLab("t", "/inv", "", None, (stand_in("api1", "exited"), stand_in("old")))
    rows = status_rows(inventory, seen, Cuts(frozenset({frozenset({"api1", "old"})})))
    assert [(row["host"], row["state"], row["cut_from"]) for row in rows] == [
        ("api1", "exited", ["old"]),
        ("api2", "no stand-in", []),
        ("old", "running, not in the inventory", ["api1"]),
    ]


def test_next_steps_build_a_new_lab_and_scale_a_grown_one() -> None:
    assert [line.split()[-1] for line in next_steps(())[1:]] == ["playbooks/site.yml"]
    told, dry, real = next_steps(("api3",))
    assert told.startswith("api3 joined")
    assert dry.endswith("playbooks/scale.yml --check --diff")
    assert real.endswith("playbooks/scale.yml")


def test_unknown_hosts_are_all_named() -> None:
    seen = SeenLab("t", "/inv", "", None, (stand_in("api1"),))
    with pytest.raises(Refused) as caught:
        lab.pick(seen, ["api1", "x", "y"])
    assert [problem.where for problem in caught.value.problems] == ["x", "y"]
    with pytest.raises(Refused, match="does not exist"):
        lab.pick(SeenLab("t"), ["api1"])


def test_every_failure_of_parallel_work_is_told() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number % 2:
            raise SteelyardError("it is even", str(number))
        done.append(number)
        return number

    with pytest.raises(SteelyardError) as caught:
        lab.in_parallel(work, range(5))
    assert [problem.seen for problem in caught.value.problems] == ["1", "3"]
    assert sorted(done) == [0, 2, 4]
    assert lab.in_parallel(work, [2, 4]) == [2, 4]


@pytest.mark.parametrize(
    ("info", "private", "apparmor"),
    [
        ({"CgroupVersion": "1", "SecurityOptions": ["name=seccomp,profile=default"]}, False, False),
        ({"CgroupVersion": "2", "SecurityOptions": ["name=apparmor"]}, True, True),
    ],
)
def test_isolation_follows_the_machine(info: dict[str, Any], private: bool, apparmor: bool) -> None:
    options = machines._isolation(info)
    assert options.get("cgroupns") == ("private" if private else None)
    assert ("/sys/fs/cgroup" in options["volumes"]) is not private
    assert ("apparmor=unconfined" in options["security_opt"]) is apparmor
