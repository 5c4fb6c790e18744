# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an error of Redis means: try again, or not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from redis import exceptions as errors
from redis.asyncio.sentinel import MasterNotFoundError, SlaveNotFoundError

LIBRARY_ERRORS = (errors.RedisError, errors.RedisClusterException, OSError)

# The first that fits decides. Classes of the library are ResponseErrors or ConnectionErrors at the same time.
AGAIN: tuple[tuple[type[BaseException], str], ...] = (
    (MasterNotFoundError, "no_primary"),  # a failover is under way
    (SlaveNotFoundError, "no_replica"),
    (errors.BusyLoadingError, "loading"),  # it started a moment ago
    (errors.MaxConnectionsError, "pool"),
    (errors.MasterDownError, "masterdown"),
    (errors.ClusterDownError, "clusterdown"),
    (errors.MovedError, "moved"),
    (errors.AskError, "ask"),
    (errors.TryAgainError, "tryagain"),
    (errors.ReadOnlyError, "readonly"),  # the primary became a replica
    (errors.ClusterError, "redirections"),  # one led to the other for too long
    (errors.SlotNotCoveredError, "uncovered"),
    (errors.RedisClusterException, "unreachable"),  # none of the nodes that are known answers
    (errors.TimeoutError, "timeout"),
    (errors.ConnectionError, "connection"),
    (OSError, "connection"),
)
NEVER: tuple[tuple[type[BaseException], str], ...] = (
    (errors.AuthenticationError, "denied"),
    (errors.AuthorizationError, "denied"),
    (errors.AuthenticationWrongNumberOfArgsError, "denied"),
    (errors.NoPermissionError, "denied"),
    (errors.OutOfMemoryError, "memory"),
)
# Answers that have no class of their own, by their first word.
AGAIN_WORDS = {"NOREPLICAS": "noreplicas", "MASTERDOWN": "masterdown", "LOADING": "loading", "TRYAGAIN": "tryagain"}


@dataclass(frozen=True)
class Meaning:
    """`reason` is the label that metrics carry; `again` says that the next attempt may succeed."""

    reason: str
    again: bool


def meaning(error: BaseException) -> Meaning:
    """Return what one of LIBRARY_ERRORS means."""
    for kind, reason in NEVER:
        # A cluster's client says only that it found no node; what the last one answered is the cause.
        if isinstance(error, kind) or isinstance(error.__cause__, kind):
            return Meaning(reason, False)
    for kind, reason in AGAIN:
        if isinstance(error, kind):
            return Meaning(reason, True)
    word = str(error).partition(" ")[0]
    return Meaning(AGAIN_WORDS[word], True) if word in AGAIN_WORDS else Meaning("refused", False)
