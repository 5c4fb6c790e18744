# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a cluster module reaches the servers and Sentinels of one replicated cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ansible_collections.steelyard.stack.plugins.module_utils.redis.access import signed_in
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SENTINEL, ClusterSpec, Secrets
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import look
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State

UNDER_WAY = 8.0
"""Seconds for which a failover is waited for that is under way: a plan made meanwhile could only be refused."""
PAUSE = 0.25


@contextmanager
def opened(wanted: ClusterSpec, secrets: Secrets) -> Iterator[ReplicationClient]:
    """Lend a client of the cluster's servers and Sentinels as our ACL user; raises Refused where a secret is missing."""
    sentinels = wanted.sentinel.instances if wanted.sentinel else ()
    password = secrets.passwords.get(SENTINEL, "")
    with signed_in(wanted, secrets) as access:
        client = ReplicationClient(access, wanted.instances, sentinels, wanted.name, password)
        with closing(client):
            yield client


def read(client: ReplicationClient, wanted: ClusterSpec, settled: bool) -> State:
    """Return what all say; with `settled` after a failover that is under way, if it ends soon."""
    end = time.monotonic() + UNDER_WAY
    while True:
        state = client.state()
        if not settled or not look(wanted, state).failing_over or time.monotonic() > end:
            return state
        time.sleep(PAUSE)
