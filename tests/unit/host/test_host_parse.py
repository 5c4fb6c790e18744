"""Parsers against captured output."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.host import parse

CAPTURED = Path(__file__).parent / "captured"


def captured(name: str) -> str:
    return (CAPTURED / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "version", "codename"), [("trixie", "13", "trixie"), ("bookworm", "12", "bookworm")])
def test_os_release(name: str, version: str, codename: str) -> None:
    found = parse.os_release(captured(f"os_release_{name}"), "x86_64")
    assert found == {"id": "debian", "version_id": version, "codename": codename, "arch": "amd64"}


def test_os_release_that_says_nothing() -> None:
    assert parse.os_release("", "riscv64") == {"id": "", "version_id": "", "codename": "", "arch": "riscv64"}


def test_meminfo() -> None:
    found = parse.meminfo(captured("proc_meminfo"))
    assert found["MemTotal"] > 10 * 2**30
    assert found["MemTotal"] % 1024 == 0


def test_cgroup_v1_walks_up_to_the_container_and_the_machine() -> None:
    version, directories = parse.cgroup_directories(
        captured("cgroup_v1_container"), captured("mountinfo_v1_container"), "memory"
    )
    top = "/sys/fs/cgroup/memory"
    assert version == 1
    assert directories == (f"{top}/docker/3062c79ade4e/init.scope", f"{top}/docker/3062c79ade4e", f"{top}/docker", top)


def test_cgroup_v1_with_its_own_mount_root() -> None:
    _version, directories = parse.cgroup_directories(
        captured("cgroup_v1_container"), captured("mountinfo_v1_private"), "memory"
    )
    assert directories == ("/sys/fs/cgroup/memory/init.scope", "/sys/fs/cgroup/memory")


def test_cgroup_v2() -> None:
    found = parse.cgroup_directories(captured("cgroup_v2_machine"), captured("mountinfo_v2"), "memory")
    assert found == (2, ("/sys/fs/cgroup/init.scope", "/sys/fs/cgroup"))


def test_cgroup_that_is_not_to_be_seen() -> None:
    assert parse.cgroup_directories("", captured("mountinfo_v2"), "memory") == (0, ())
    assert parse.cgroup_directories(captured("cgroup_v2_machine"), "", "memory") == (2, ())


@pytest.mark.parametrize(
    ("text", "limit"), [("1073741824\n", 2**30), ("max\n", None), ("9223372036854771712\n", None), ("", None)]
)
def test_memory_limit(text: str, limit: int | None) -> None:
    assert parse.memory_limit(text) == limit


def test_cpu_limits() -> None:
    assert parse.cpu_limit_v2("150000 100000\n") == 1.5
    assert parse.cpu_limit_v2("max 100000\n") is None
    assert parse.cpu_limit_v1("50000\n", "100000\n") == 0.5
    assert parse.cpu_limit_v1("-1\n", "100000\n") is None
    assert parse.cpu_limit_v1("", "") is None


def test_listening_sockets() -> None:
    assert [s[:2] for s in parse.listening_sockets(captured("proc_net_tcp"))] == [("0.0.0.0", 22)]
    assert [s[:2] for s in parse.listening_sockets(captured("proc_net_tcp6"))] == [("::", 22)]


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("0100007F:1F90", ("127.0.0.1", 8080)),
        ("00000000000000000000000001000000:0016", ("::1", 22)),
        ("0000000000000000FFFF00000200000A:1F40", ("10.0.0.2", 8000)),
        ("B80D0120000000000000000001000000:0050", ("2001:db8::1", 80)),
    ],
)
def test_socket_address(field: str, address: tuple[str, int]) -> None:
    assert parse.socket_address(field) == address


def test_unit_of_cgroup() -> None:
    assert parse.unit_of_cgroup(captured("cgroup_v1_sshd")) == "ssh.service"
    assert parse.unit_of_cgroup(captured("cgroup_v2_service")) == "nginx.service"
    assert parse.unit_of_cgroup("0::/user.slice/user-0.slice/session-1.scope\n") == "session-1.scope"
    assert parse.unit_of_cgroup("0::/\n") == ""


def test_slice_of_cgroup() -> None:
    assert parse.slice_of_cgroup(captured("cgroup_v1_sshd")) == "system.slice"
    inside = "12:pids:/docker/1f\n1:name=systemd:/docker/1f/app.slice/app-api.slice/app@8000.service\n"
    assert parse.slice_of_cgroup(inside) == "app-api.slice"
    assert parse.unit_of_cgroup(inside) == "app@8000.service"
    assert parse.slice_of_cgroup("0::/init.scope\n") == ""


def test_dpkg_versions() -> None:
    found = parse.dpkg_versions(captured("dpkg_query"), ["bash", "nope", "nftables"])
    assert found["bash"]
    assert found["nftables"]
    assert found["nope"] is None
    assert parse.dpkg_versions("vim\tconfig-files\t9\n", ["vim"]) == {"vim": None}


def test_unit_blocks() -> None:
    found = parse.unit_blocks(captured("systemctl_show"), ["ssh.service", "nope.service"])
    assert found["ssh.service"]["ActiveState"] == "active"
    assert found["nope.service"]["LoadState"] == "not-found"
    assert parse.unit_blocks("", ["ssh.service"]) == {}


def test_mounts() -> None:
    found = parse.mounts(captured("proc_mounts_container"))
    assert "/" in found
    assert not {"/run", "/tmp", "/dev/shm", "/proc/acpi", "/sys/fs/cgroup"} & set(found)
    assert parse.mounts("tmpfs /srv/small\\040disk tmpfs rw 0 0\n") == ["/srv/small disk"]


def test_small_ones() -> None:
    assert (
        parse.swap_bytes("Filename\tType\tSize\tUsed\tPriority\n/swap file\t4 0 -2\n".replace("\t4", "\tfile\t4"))
        == 4096
    )
    assert parse.swap_bytes("Filename Type Size Used Priority\n") == 0
    assert parse.chosen("always [madvise] never") == "madvise"
    assert parse.chosen("") == ""
    assert parse.parent_of("12 (a) b (c)) S 7 1 1") == 7
    assert parse.ssh_peer("A=1\0SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22\0B=2") == "192.0.2.9"
    assert parse.ssh_peer("XSSH_CONNECTION=192.0.2.9 1 2 3") == ""
    assert parse.nofile_hard(captured("proc_limits")) == 20000
    assert parse.nofile_hard("Max open files            1024                 unlimited            files\n") == 0
    assert parse.sysctl_path("net.ipv4.conf.eth0/1.rp_filter") == "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"
    assert parse.container_kind("docker\n", {}) == "docker"
    assert parse.container_kind("", {"container": "lxc"}) == "lxc"
    assert parse.timezone_of("/usr/share/zoneinfo/Europe/Vienna") == "Europe/Vienna"
