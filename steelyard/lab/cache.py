# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The package cache that all labs share: apt-cacher-ng in a container of its own, and a volume for pip.

Sharing apt's own archive folder would let one stand-in's apt remove what another is unpacking; a caching
proxy serves many at once. pip's cache is made for several writers, so it is a plain volume. Where the
cache does not answer, the stand-ins' apt goes to the archive itself.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from steelyard.lab.image import Recipe
from steelyard.lab.machines import PIP_VOLUME, ensure_volume, lab_names, network_name, taken_networks
from steelyard.lab.model import CACHE_NAME as NAME
from steelyard.lab.model import LABEL_CACHE
from steelyard.lab.network import cache_address_of, choose_subnet

APT_VOLUME = "steelyard-cache-apt"
REPOSITORY = "steelyard-lab-cache"
COMMAND = ["/usr/sbin/apt-cacher-ng", "-c", "/etc/apt-cacher-ng", "ForeGround=1", "VerboseLog=0"]
INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "apt-cacher-ng"]
INSTALL_DEADLINE = 300
MEMORY = 192 * 2**20


def ensure(client: docker.DockerClient, recipe: Recipe, lab: str, subnet: IPv4Network) -> None:
    """Start the cache, made from the stand-ins' own image, and attach it to the lab; raises SteelyardError."""
    try:
        container = _running(client, recipe)
        network = client.networks.get(network_name(lab))
        network.reload()
        if container.id not in (network.attrs.get("Containers") or {}):
            network.connect(container, ipv4_address=str(cache_address_of(subnet)), aliases=[NAME])
    except APIError as err:
        raise SteelyardError("the package cache starts", err.explanation, "stand-ins go to the archive") from err


def _running(client: docker.DockerClient, recipe: Recipe) -> Container:
    try:
        container = client.containers.get(NAME)
    except NotFound:
        container = _create(client, recipe)
    if container.status != "running":
        container.start()
    return container


def _create(client: docker.DockerClient, recipe: Recipe) -> Container:
    tag = recipe.tag.replace(f"{recipe.tag.split(':')[0]}:", f"{REPOSITORY}:")
    _ensure_network(client)
    if not client.images.list(filters={"reference": tag}):
        _build(client, recipe, tag)
    ensure_volume(client, APT_VOLUME)
    try:
        return _create_container(client, tag)
    except APIError as err:
        if err.status_code != 409:
            raise
        return client.containers.get(NAME)  # another lab that came up at the same time made it


def _create_container(client: docker.DockerClient, tag: str) -> Container:
    return client.containers.create(
        tag,
        command=COMMAND,
        name=NAME,
        hostname=NAME,
        user="apt-cacher-ng",
        labels={LABEL_CACHE: "true"},
        volumes={APT_VOLUME: {"bind": "/var/cache/apt-cacher-ng", "mode": "rw"}},
        tmpfs={"/run": "mode=1777"},
        mem_limit=MEMORY,
        init=True,
        network=NAME,
    )


def _ensure_network(client: docker.DockerClient) -> None:
    """Make the cache's own way out: Docker's default network may be switched off on a machine."""
    if not client.networks.list(filters={"label": LABEL_CACHE}):
        pool = IPAMPool(subnet=str(choose_subnet(1, taken_networks(client))))
        client.networks.create(NAME, ipam=IPAMConfig(pool_configs=[pool]), labels={LABEL_CACHE: "true"})


def _build(client: docker.DockerClient, recipe: Recipe, tag: str) -> None:
    builder = client.containers.create(
        recipe.tag,
        command=INSTALL,
        environment={"DEBIAN_FRONTEND": "noninteractive"},
        labels={LABEL_CACHE: "true"},
        network=NAME,
    )
    try:
        builder.start()
        status = int(builder.wait(timeout=INSTALL_DEADLINE)["StatusCode"])
        if status != 0:
            said = builder.logs(tail=4).decode(errors="replace").strip().replace("\n", " | ")
            raise SteelyardError("the package cache can be installed", said, "stand-ins go to the archive")
        repository, version = tag.split(":")
        builder.commit(repository=repository, tag=version)
    finally:
        builder.remove(force=True)


def release(client: docker.DockerClient) -> bool:
    """Stop the cache when no lab is left that could use it; returns whether it was stopped."""
    if lab_names(client):
        return False
    found = client.containers.list(filters={"label": LABEL_CACHE, "name": f"^{NAME}$"})
    for container in found:
        container.stop(timeout=5)
    return bool(found)


def remove(client: docker.DockerClient) -> list[str]:
    """Remove the cache with its volumes and images; returns what was removed. A volume in use is kept."""
    removed = []
    for container in client.containers.list(all=True, filters={"label": LABEL_CACHE}):
        container.remove(force=True)
        removed.append(f"container {container.name}")
    for network in client.networks.list(filters={"label": LABEL_CACHE}):
        network.remove()
        removed.append(f"network {network.name}")
    for name in (APT_VOLUME, PIP_VOLUME):
        try:
            client.volumes.get(name).remove()
            removed.append(f"volume {name}")
        except NotFound:
            continue
        except APIError as err:
            if err.status_code != 409:
                raise
    for found in client.images.list(name=REPOSITORY):
        client.images.remove(str(found.id), force=True)
        removed.append(f"image {found.tags[0] if found.tags else found.id}")
    return removed
