# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-ins, networks and volumes through Docker's API: everything that touches the engine for a running lab."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from steelyard.lab import image
from steelyard.lab.model import (
    LABEL_ADDRESS,
    LABEL_CACHE,
    LABEL_HOST,
    LABEL_INVENTORY,
    LABEL_LAB,
    LABEL_OS,
    LABEL_OVERLAY,
    MIB,
    Machine,
    SeenLab,
    SeenStandIn,
    StandIn,
)
from steelyard.lab.network import gateway_of

CPU_PERIOD = 100_000  # microseconds, the kernel's default
PIP_VOLUME = "steelyard-cache-pip"
PIP_FOLDER = "/var/cache/steelyard-pip"
API_DEADLINE = 120


def connect() -> docker.DockerClient:
    """Return a client of the local engine; raises Refused when none answers."""
    try:
        client = docker.from_env(timeout=API_DEADLINE, max_pool_size=32)
        client.ping()
    except DockerException as err:
        raise Refused(
            "a Docker engine answers",
            str(err).splitlines()[0][:200],
            "start it, or let it be installed and started: python -m steelyard.lab.engine ensure",
        ) from err
    return client


def see_lab(client: docker.DockerClient, name: str) -> SeenLab:
    """Return what exists of the lab of that name."""
    network = _network(client, name)
    stand_ins = tuple(sorted((_seen(c) for c in containers(client, name)), key=lambda s: s.host))
    labels: Mapping[str, str] = network.attrs["Labels"] if network else {}
    if not labels and stand_ins:
        labels = containers(client, name)[0].labels
    subnet = IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"]) if network else None
    return SeenLab(name, labels.get(LABEL_INVENTORY, ""), labels.get(LABEL_OVERLAY, ""), subnet, stand_ins)


def containers(client: docker.DockerClient, name: str) -> list[Container]:
    """Return the lab's containers, running or not."""
    return client.containers.list(all=True, filters={"label": f"{LABEL_LAB}={name}"}, ignore_removed=True)


def container_of(client: docker.DockerClient, stand_in: SeenStandIn) -> Container:
    """Return a stand-in's container; raises SteelyardError when it has gone meanwhile."""
    try:
        return client.containers.get(stand_in.container)
    except NotFound as err:
        raise SteelyardError("the stand-in exists", stand_in.host, "run: steelyard lab up INVENTORY") from err


def _seen(container: Container) -> SeenStandIn:
    host = container.attrs["HostConfig"]
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or CPU_PERIOD
    return SeenStandIn(
        host=container.labels[LABEL_HOST],
        container=container.id or "",
        state=container.status,
        address=IPv4Address(container.labels[LABEL_ADDRESS]),
        memory=host.get("Memory") or 0,
        cpus=quota / period if quota > 0 else float(os.cpu_count() or 1),
        os=container.labels.get(LABEL_OS, ""),
        image=container.attrs["Config"]["Image"],
    )


def see_machine(client: docker.DockerClient, suites: Iterable[str]) -> Machine:
    """Return what this machine has to give now, and for which of `suites` the image is built."""
    info = client.info()
    available = min(_available_memory(), int(info.get("MemTotal") or 2**62))
    root = Path(info.get("DockerRootDir") or "/var/lib/docker")
    while not root.exists():
        root = root.parent
    built = frozenset(suite for suite in suites if image.find(client, image.make_recipe(suite)))
    cpus = int(info.get("NCPU") or 1)
    return Machine(available, shutil.disk_usage(root).free, cpus, taken_networks(client), built)


def taken_networks(client: docker.DockerClient) -> tuple[IPv4Network, ...]:
    """Return the IPv4 networks that Docker or the machine's routes use already."""
    return tuple(_docker_networks(client)) + tuple(_routes())


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SteelyardError("/proc/meminfo says how much memory is available", "no MemAvailable", "use a newer kernel")


def _docker_networks(client: docker.DockerClient) -> list[IPv4Network]:
    found = []
    for network in client.networks.list():
        for config in (network.attrs.get("IPAM") or {}).get("Config") or []:
            if ":" not in config.get("Subnet", ":"):
                found.append(IPv4Network(config["Subnet"], strict=False))  # noqa: PERF401 - two loops read better
    return found


def _routes() -> list[IPv4Network]:
    """Read the machine's IPv4 routes; /proc/net/route has addresses as little-endian hexadecimal numbers."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(fields[i])[::-1], "big") for i in (1, 7))
        if mask:
            found.append(IPv4Network((destination, str(IPv4Address(mask))), strict=False))
    return found


def network_name(lab: str) -> str:
    """Return the name of the lab's network."""
    return f"steelyard-{lab}"


def _network(client: docker.DockerClient, lab: str) -> Any:
    found = client.networks.list(filters={"label": f"{LABEL_LAB}={lab}"})
    return found[0] if found else None


def create_network(client: docker.DockerClient, lab: str, subnet: IPv4Network, labels: Mapping[str, str]) -> None:
    """Create the lab's bridge network; raises SteelyardError when Docker refuses."""
    pool = IPAMPool(subnet=str(subnet), gateway=str(gateway_of(subnet)))
    try:
        client.networks.create(
            network_name(lab), driver="bridge", ipam=IPAMConfig(pool_configs=[pool]), labels=dict(labels)
        )
    except APIError as err:
        raise SteelyardError("Docker creates the lab's network", err.explanation, "run `lab up` again") from err


def create_container(
    client: docker.DockerClient, lab: str, stand_in: StandIn, labels: Mapping[str, str], files: bytes
) -> Container:
    """Create one stand-in, not started, with `files` (a tar archive) in its root."""
    network = network_name(lab)
    endpoint = client.api.create_endpoint_config(ipv4_address=str(stand_in.address), aliases=[stand_in.host])
    container = client.containers.create(
        image.make_recipe(stand_in.os).tag,
        command=["/usr/local/lib/steelyard-lab/init"],
        name=f"steelyard-{lab}-{stand_in.host}",
        hostname=stand_in.host,
        labels={
            **labels,
            LABEL_HOST: stand_in.host,
            LABEL_OS: stand_in.os,
            LABEL_ADDRESS: str(stand_in.address),
        },
        environment={"container": "docker", "LANG": "C.UTF-8"},
        network=network,
        networking_config={network: endpoint},
        stop_signal="SIGRTMIN+3",  # systemd's word for an orderly power-off
        **_isolation(client.info()),
        **_limits(stand_in),
    )
    container.put_archive("/", files)
    return container


def _isolation(info: Mapping[str, Any]) -> dict[str, Any]:
    """What systemd needs to boot. On cgroup v2 a namespace of the container's own, which is not proven yet."""
    options: dict[str, Any] = {
        # SYS_PTRACE: root of a real machine sees whose a listening port is and what a process was started with.
        "cap_add": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
        "security_opt": ["seccomp=unconfined"],
        "tmpfs": {"/run": "exec,mode=755", "/run/lock": "mode=1777", "/tmp": "exec,mode=1777"},  # noqa: S108
        "volumes": {PIP_VOLUME: {"bind": PIP_FOLDER, "mode": "rw"}},
    }
    if any("apparmor" in option for option in info.get("SecurityOptions") or []):
        options["security_opt"].append("apparmor=unconfined")
    if str(info.get("CgroupVersion", "1")) == "2":
        options["cgroupns"] = "private"
    else:
        options["volumes"]["/sys/fs/cgroup"] = {"bind": "/sys/fs/cgroup", "mode": "rw"}
    return options


def _limits(stand_in: StandIn) -> dict[str, Any]:
    return {
        "mem_limit": stand_in.memory,
        "memswap_limit": stand_in.memory,  # the same: no swap
        "cpu_period": CPU_PERIOD,
        "cpu_quota": int(stand_in.cpus * CPU_PERIOD),
        "cpu_shares": max(2, int(stand_in.cpus * 1024)),
    }


def resize(client: docker.DockerClient, seen: SeenStandIn, wanted: StandIn) -> None:
    """Give a stand-in its new share of memory and CPUs, running or not."""
    try:
        container_of(client, seen).update(**_limits(wanted))
    except APIError as err:
        raise SteelyardError(
            "the stand-in takes its new share of memory",
            f"{wanted.memory // MIB} MiB: {err.explanation}",
            "free memory on it, or take the lab down and up again",
            wanted.host,
        ) from err


def execute(container: Container, argv: Sequence[str], user: str = "root") -> tuple[int, str]:
    """Run a command in a stand-in beside its SSH server; returns its exit status and output."""
    try:
        code, output = container.exec_run(list(argv), user=user)
    except APIError as err:
        return 255, str(err.explanation)
    return int(code or 0), output.decode(errors="replace") if isinstance(output, bytes) else ""


def archive(entries: Iterable[tuple[str, int, int, bytes]]) -> bytes:
    """Return a tar archive of `(path, mode, uid, content)`, folders before what is in them ("dir/" is one)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, mode, uid, content in entries:
            member = tarfile.TarInfo(path.rstrip("/"))
            member.mode, member.uid, member.gid = mode, uid, 100 if uid else 0
            member.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def remove_container(container: Container) -> None:
    """Remove a container and what it wrote, running or not; gone already is fine."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except APIError as err:
        if err.status_code != 409:  # a removal that is under way already
            raise


def remove_network(client: docker.DockerClient, lab: str) -> bool:
    """Remove the lab's network after disconnecting whatever else was attached; returns whether there was one."""
    network = _network(client, lab)
    if network is None:
        return False
    network.reload()
    for container in list(network.attrs.get("Containers") or {}):
        network.disconnect(container, force=True)
    network.remove()
    return True


def ensure_volume(client: docker.DockerClient, name: str) -> None:
    """Create a shared cache's volume, labelled, unless it exists."""
    if name not in {volume.name for volume in client.volumes.list(filters={"label": LABEL_CACHE})}:
        client.volumes.create(name, labels={LABEL_CACHE: "true"})


def lab_names(client: docker.DockerClient) -> list[str]:
    """Return the names of all labs that have a network."""
    return sorted({n.attrs["Labels"][LABEL_LAB] for n in client.networks.list(filters={"label": LABEL_LAB})})
