# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a cluster module reaches the servers of one cluster: user, password and certificates, out of its secrets.

The library wants certificates as paths. They are files in memory that have no name in any directory, so that nothing of
a key is left behind wherever the module is killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ADMIN, ClusterSpec, Secrets
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Access, Tls


@contextmanager
def opened(wanted: ClusterSpec, secrets: Secrets) -> Iterator[Client]:
    """Lend a client of a Redis Cluster's instances as our ACL user; raises Refused where a secret is missing."""
    with signed_in(wanted, secrets) as access, closing(Client(access, wanted.instances)) as client:
        yield client


@contextmanager
def signed_in(wanted: ClusterSpec, secrets: Secrets) -> Iterator[Access]:
    """Lend what signs in at the cluster's servers as our ACL user; raises Refused where a secret is missing."""
    where = f"redis {wanted.name}"
    remedy = "hand in lookup('steelyard.stack.wanted', 'redis_secrets') of a host with an instance of the cluster"
    if ADMIN not in secrets.passwords:
        raise Refused(f"the password of the user {ADMIN} is known", "none", remedy, where)
    if wanted.tls and not secrets.ca:
        raise Refused("the certificate of the authority is known", "none", remedy, where)
    with ExitStack() as stack:
        files = [stack.enter_context(_in_memory(text)) for text in (secrets.ca, secrets.certificate, secrets.key)]
        tls = Tls(*files) if wanted.tls else None
        yield Access(ADMIN, secrets.passwords[ADMIN], tls)


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Lend the path of a file that only this process has; empty for an empty text."""
    if not text:
        yield ""
        return
    fd = os.memfd_create("steelyard", os.MFD_CLOEXEC)
    try:
        os.write(fd, text.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
