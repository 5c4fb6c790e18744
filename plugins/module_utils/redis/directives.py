# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""redis.conf's directives: what they take, whether CONFIG SET takes them, which servers know them. Pure.

Every line was asked of real servers: Redis 7.0.15 and 8.0.2, Valkey 8.1.1 (tests/fixtures/redis). Where no server
between them was asked, `SINCE` says the version of its release notes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.redis.options import POLICIES

BOOL, INT, MEMORY, PERCENT, ENUM, FLAGS, TEXT, LIST, SAVE, BUFFERS, EVENTS = (
    "bool", "int", "memory", "percent", "enum", "flags", "text", "list", "save", "buffers", "events",
)  # fmt: skip
INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1

Version = tuple[int, ...]


@dataclass(frozen=True)
class Directive:
    """What one directive takes. `least` and `most` bound numbers and bytes; `words` are an enumeration's.

    `live`: CONFIG SET takes it. `secret`: its value is never shown.
    """

    name: str
    kind: str
    live: bool = True
    least: int = 0
    most: int = LONG_MAX
    words: tuple[str, ...] = ()
    secret: bool = False


def names(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


_BOOLS = names("""
activedefrag activerehashing always-show-logo aof-disable-auto-gc aof-load-truncated aof-rewrite-incremental-fsync
aof-timestamp-enabled aof-use-rdb-preamble appendonly cluster-allow-pubsubshard-when-down
cluster-allow-reads-when-down cluster-allow-replica-migration cluster-enabled cluster-replica-no-failover
cluster-require-full-coverage cluster-slot-stats-enabled crash-log-enabled crash-memcheck-enabled daemonize
disable-thp dual-channel-replication-enabled dynamic-hz extended-redis-compatibility hide-user-data-from-log
import-mode io-threads-do-reads jemalloc-bg-thread latency-tracking lazyfree-lazy-eviction lazyfree-lazy-expire
lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush no-appendfsync-on-rewrite protected-mode
rdb-del-sync-files rdb-save-incremental-fsync rdbchecksum rdbcompression repl-disable-tcp-nodelay repl-diskless-sync
replica-announced replica-ignore-disk-write-errors replica-ignore-maxmemory replica-lazy-flush replica-read-only
replica-serve-stale-data set-proc-title stop-writes-on-bgsave-error syslog-enabled tls-cluster
tls-prefer-server-ciphers tls-replication tls-session-caching
""")

_TEXTS = names("""
aclfile aof_rewrite_cpulist appenddirname appendfilename availability-zone bgsave_cpulist bind bind-source-addr
bio_cpulist cluster-announce-client-ipv4 cluster-announce-client-ipv6 cluster-announce-hostname
cluster-announce-human-nodename cluster-announce-ip cluster-config-file dbfilename dir ignore-warnings locale-collate
logfile masterauth masteruser pidfile proc-title-template rdma-bind replica-announce-ip replicaof requirepass
server_cpulist syslog-ident tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-ciphers tls-ciphersuites
tls-client-cert-file tls-client-key-file tls-client-key-file-pass tls-dh-params-file tls-key-file tls-key-file-pass
tls-protocols unixsocket unixsocketgroup unixsocketperm
""")

_MEMORIES = names("""
active-defrag-ignore-bytes auto-aof-rewrite-min-size client-query-buffer-limit cluster-link-sendbuf-limit
hash-max-listpack-value hll-sparse-max-bytes maxmemory proto-max-bulk-len repl-backlog-size
replica-full-sync-buffer-limit stream-node-max-bytes zset-max-listpack-value
""")

_LEAST_BYTES = {"client-query-buffer-limit": 2**20, "proto-max-bulk-len": 2**20, "repl-backlog-size": 2**14}

# Bounds as the servers say them, where two differ the narrower; hz is silently held to 1-500 and the backlog to 16 kB.
_INTS: dict[tuple[int, int], str] = {
    (0, LONG_MAX): """
        acllog-max-len busy-reply-threshold commandlog-large-reply-max-len commandlog-large-request-max-len
        commandlog-slow-execution-max-len hash-max-listpack-entries latency-monitor-threshold repl-backlog-ttl
        set-max-intset-entries set-max-listpack-entries set-max-listpack-value slowlog-max-len stream-node-max-entries
        tracking-table-max-keys zset-max-listpack-entries""",
    (0, INT_MAX): """
        auto-aof-rewrite-percentage cluster-blacklist-ttl cluster-migration-barrier cluster-replica-validity-factor
        lfu-decay-time lfu-log-factor list-compress-depth min-replicas-max-lag min-replicas-to-write
        repl-diskless-sync-delay repl-diskless-sync-max-replicas replica-priority shutdown-timeout tcp-backlog
        tcp-keepalive timeout tls-session-cache-size tls-session-cache-timeout""",
    (1, INT_MAX): "cluster-manual-failover-timeout databases repl-ping-replica-period repl-timeout",
    (-1, LONG_MAX): "commandlog-execution-slower-than commandlog-reply-larger-than commandlog-request-larger-than "
    "slowlog-log-slower-than",
    (0, 65535): "cluster-announce-bus-port cluster-announce-port cluster-announce-tls-port cluster-port port rdma-port "
    "replica-announce-port tls-port",
    (1, LONG_MAX): "active-defrag-max-scan-fields cluster-node-timeout",
    (1, 99): "active-defrag-cycle-max active-defrag-cycle-min",
    (0, 1000): "active-defrag-threshold-lower active-defrag-threshold-upper",
    (0, 100): "cluster-compatibility-sample-ratio maxmemory-eviction-tenacity",
    (1, 1000): "max-new-connections-per-cycle max-new-tls-connections-per-cycle",
    (0, 100000): "active-defrag-cycle-us",
    (1, 10): "active-expire-effort",
    (1, 500): "hz",
    (1, 128): "io-threads",
    (1, 64): "maxmemory-samples",
    (1, 2**32 - 1): "maxclients",
    (0, 2**32 - 1): "socket-mark-id",
    (0, 128): "prefetch-batch-max-size",
    (-(2**31), INT_MAX): "list-max-listpack-size",
    (-1, 1024): "rdma-completion-vector",
    (65536, 16777216): "rdma-rx-size",
}

_ENUMS: dict[str, tuple[str, ...]] = {
    "acl-pubsub-default": ("allchannels", "resetchannels"),
    "appendfsync": ("always", "everysec", "no"),
    "cluster-preferred-endpoint-type": ("hostname", "ip", "unknown-endpoint"),
    "enable-debug-command": ("local", "no", "yes"),
    "enable-module-command": ("local", "no", "yes"),
    "enable-protected-configs": ("local", "no", "yes"),
    "log-format": ("legacy", "logfmt"),
    "log-timestamp-format": ("iso8601", "legacy", "milliseconds"),
    "loglevel": ("debug", "nothing", "notice", "verbose", "warning"),
    "maxmemory-policy": tuple(sorted(POLICIES)),
    "oom-score-adj": ("absolute", "no", "yes"),
    "propagation-error-behavior": ("ignore", "panic", "panic-on-replicas"),
    "rdb-version-check": ("relaxed", "strict"),
    "repl-diskless-load": ("disabled", "flush-before-load", "on-empty-db", "swapdb"),
    "sanitize-dump-payload": ("clients", "no", "yes"),
    "supervised": ("auto", "no", "systemd", "upstart"),
    "syslog-facility": ("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", "user"),
    "tls-auth-clients": ("no", "optional", "yes"),
}
# In the order in which servers answer them.
_SHUTDOWN = ("default", "save", "nosave", "now", "force")

FIXED = frozenset(
    names("""
aclfile always-show-logo aof_rewrite_cpulist appenddirname appendfilename bgsave_cpulist bio_cpulist
cluster-config-file cluster-enabled cluster-port daemonize databases dbfilename dir disable-thp enable-debug-command
enable-module-command enable-protected-configs io-threads io-threads-do-reads logfile pidfile rdbchecksum
rdma-completion-vector rdma-rx-size replicaof server_cpulist set-proc-title socket-mark-id supervised syslog-enabled
syslog-facility syslog-ident tcp-backlog unixsocket unixsocketgroup unixsocketperm
""")
)
"""What a server takes only when it starts ("can't set immutable config", "can't set protected config")."""

SECRET = frozenset({"masterauth", "requirepass", "tls-key-file-pass", "tls-client-key-file-pass"})

ALIASES = {
    "aof-rewrite-cpulist": "aof_rewrite_cpulist",
    "bgsave-cpulist": "bgsave_cpulist",
    "bio-cpulist": "bio_cpulist",
    "server-cpulist": "server_cpulist",
    "hash-max-ziplist-entries": "hash-max-listpack-entries",
    "hash-max-ziplist-value": "hash-max-listpack-value",
    "zset-max-ziplist-entries": "zset-max-listpack-entries",
    "zset-max-ziplist-value": "zset-max-listpack-value",
    "list-max-ziplist-size": "list-max-listpack-size",
    "lua-time-limit": "busy-reply-threshold",
    "cluster-slave-no-failover": "cluster-replica-no-failover",
    "cluster-slave-validity-factor": "cluster-replica-validity-factor",
    "min-slaves-max-lag": "min-replicas-max-lag",
    "min-slaves-to-write": "min-replicas-to-write",
    "repl-ping-slave-period": "repl-ping-replica-period",
    "slave-announce-ip": "replica-announce-ip",
    "slave-announce-port": "replica-announce-port",
    "slave-ignore-maxmemory": "replica-ignore-maxmemory",
    "slave-lazy-flush": "replica-lazy-flush",
    "slave-priority": "replica-priority",
    "slave-read-only": "replica-read-only",
    "slave-serve-stale-data": "replica-serve-stale-data",
    "slaveof": "replicaof",
    "primaryauth": "masterauth",
    "primaryuser": "masteruser",
}
"""Other spellings, each with the one that all versions know."""

_EVER: Version = ()
SINCE: dict[str, dict[str, tuple[Version, Version]]] = {
    # name: server: first version that knows it, first that no longer does; a server that is not named never does.
    **{n: {"redis": ((7, 2), _EVER), "valkey": ((7, 2), _EVER)} for n in (
        "cluster-announce-human-nodename", "locale-collate", "set-max-listpack-entries", "set-max-listpack-value",
    )},
    **{n: {"redis": ((7, 4), _EVER), "valkey": ((8, 0), _EVER)} for n in (
        "hide-user-data-from-log", "max-new-connections-per-cycle", "max-new-tls-connections-per-cycle",
    )},
    **{n: {"redis": ((8, 0), _EVER)} for n in (
        "cluster-compatibility-sample-ratio", "replica-full-sync-buffer-limit",
    )},
    **{n: {"valkey": ((8, 1), _EVER)} for n in (
        "active-defrag-cycle-us", "availability-zone", "cluster-announce-client-ipv4", "cluster-announce-client-ipv6",
        "cluster-blacklist-ttl", "cluster-manual-failover-timeout", "cluster-slot-stats-enabled",
        "commandlog-execution-slower-than", "commandlog-large-reply-max-len", "commandlog-large-request-max-len",
        "commandlog-reply-larger-than", "commandlog-request-larger-than", "commandlog-slow-execution-max-len",
        "dual-channel-replication-enabled", "extended-redis-compatibility", "import-mode", "log-format",
        "log-timestamp-format", "prefetch-batch-max-size", "rdb-version-check", "rdma-bind", "rdma-completion-vector",
        "rdma-port", "rdma-rx-size", "unixsocketgroup",
    )},
    "aof-disable-auto-gc": {"redis": ((7, 0), (8, 0)), "valkey": ((7, 2), (8, 0))},
    "io-threads-do-reads": {"redis": ((7, 0), (8, 0)), "valkey": ((7, 2), (8, 0))},
    "dynamic-hz": {"redis": ((7, 0), _EVER), "valkey": ((7, 2), (8, 1))},
}  # fmt: skip


def _table() -> dict[str, Directive]:
    found = [Directive(n, BOOL) for n in _BOOLS]
    found += [Directive(n, TEXT, secret=n in SECRET) for n in _TEXTS]
    found += [Directive(n, MEMORY, least=_LEAST_BYTES.get(n, 0)) for n in _MEMORIES]
    found += [Directive(n, INT, least=low, most=high) for (low, high), names in _INTS.items() for n in names.split()]
    found += [Directive(n, ENUM, words=words) for n, words in _ENUMS.items()]
    found += [Directive(n, FLAGS, words=_SHUTDOWN) for n in ("shutdown-on-sigint", "shutdown-on-sigterm")]
    found += [Directive(n, LIST) for n in ("latency-tracking-info-percentiles", "oom-score-adj-values")]
    found += [
        Directive("maxmemory-clients", PERCENT),
        Directive("save", SAVE),
        Directive("client-output-buffer-limit", BUFFERS),
        Directive("notify-keyspace-events", EVENTS),
    ]
    return {
        d.name: Directive(d.name, d.kind, d.name not in FIXED, d.least, d.most, d.words, d.secret)
        for d in sorted(found, key=lambda d: d.name)
    }


DIRECTIVES: dict[str, Directive] = _table()


def canonical(name: str) -> str:
    """Return the spelling of a directive that all versions know, in lower case."""
    return ALIASES.get(name.lower(), name.lower())


def known_to(name: str, server: str, version: Version) -> bool:
    """Whether a server (`redis`, `valkey`) of a version knows a directive of the table."""
    directive = canonical(name)
    if directive not in DIRECTIVES:
        return False
    if directive not in SINCE:
        return True
    first, gone = SINCE[directive].get(server, (_EVER, _EVER))
    return bool(first) and version >= first and (not gone or version < gone)
