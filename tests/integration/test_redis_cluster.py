"""Redis in a fleet: created, grown, shrunk and restarted by the playbooks, under clients that count every write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.redis_clients import Load, clients
from support.rehearsal import Rehearsal
from support.runs import Run
from support.state import assert_nothing_left_behind

HOSTS = ("redis1", "redis2", "redis3")
LEFTOVERS = "ls -d /etc/steelyard/redis /etc/systemd/system/redis* /opt/steelyard/redis 2>/dev/null || true"


@contextmanager
def writing(fleet: Rehearsal) -> Iterator[Load]:
    """Clients around a block; at its end no call has failed, and every write that was acknowledged is there."""
    password = json.loads((fleet.overlay / ".secrets.json").read_text())["vault_redis_admin_password"]
    with clients(7000, address=fleet.address("redis1"), password=password, rate=100) as load:
        yield load
    assert load.result.written > 50
    assert (load.result.failed, load.result.missing) == (0, []), load.result


def add_redis4(fleet: Rehearsal) -> None:
    fleet.add_host("redis", "redis4", ansible_host="192.0.2.44", steelyard_zone="d")
    fleet.lab("up").ok()


def drop_redis4(fleet: Rehearsal) -> None:
    fleet.lab("down", "redis4").ok()
    fleet.drop_host("redis", "redis4")
    fleet.lab("up").ok()


def masters(fleet: Rehearsal) -> dict[str, int]:
    """Return the slots of each address, as the first host's server tells them."""
    password = json.loads((fleet.overlay / ".secrets.json").read_text())["vault_redis_admin_password"]
    words = (
        f"REDISCLI_AUTH={password} redis-cli --no-auth-warning --user steelyard -h {fleet.address('redis1')} -p 7000"
    )
    found: dict[str, int] = {}
    for line in fleet.shell("redis1", f"{words} cluster nodes").splitlines():
        _id, place, flags, *_rest = line.split()
        if "master" in flags:
            ends = (part.split("-") for part in line.split()[8:])
            found[place.partition(":")[0]] = sum(int(e[-1]) - int(e[0]) + 1 for e in ends)
    return found


def assert_member(fleet: Rehearsal) -> None:
    """redis4 serves its share, everybody lets it in, and a second run has nothing to do."""
    slots = masters(fleet)
    assert sum(slots.values()) == 16384
    assert len([n for n in slots.values() if n]) == 4
    assert fleet.address("redis4") in fleet.shell("redis1", "nft list ruleset")
    assert_nothing_left_behind(fleet, (*HOSTS, "redis4"))
    again = fleet.play("scale").ok()
    assert again.changed == {}, again.output
    assert again.contacted == {"redis1"}, "only the coordinator of a cluster that is as it should be, and who is alone"


def assert_gone(fleet: Rehearsal) -> None:
    """Nothing of redis4 is in the cluster, in firewalls or on its own disk, but for its data, set aside."""
    slots = masters(fleet)
    assert fleet.address("redis4") not in slots
    assert sum(slots.values()) == 16384
    assert fleet.shell("redis4", LEFTOVERS).strip() == ""
    assert fleet.shell("redis4", "systemctl list-units --plain --no-legend 'redis@*'").strip() == ""
    for host in HOSTS:
        assert fleet.address("redis4") not in fleet.shell(host, "nft list ruleset")
    assert_nothing_left_behind(fleet, (*HOSTS, "redis4"))


@pytest.mark.core
def test_a_cluster_is_created_grows_and_shrinks(data: Rehearsal) -> None:
    assert sum(masters(data).values()) == 16384
    assert data.play("site").ok().changed == {}
    add_redis4(data)
    with writing(data):
        data.play("scale").ok()
        assert_member(data)
        data.mark("redis", "redis4", redis_state="leaving")
        data.play("scale").ok()
    assert_gone(data)
    drop_redis4(data)
    data.play("verify").ok()


def places(run: Run) -> list[str]:
    """Return a few places at which this finished run could have been killed: tasks that change, and steps inside them."""
    names = (
        "Let in",
        "Grow",
        "Take the lease on every member",
        "Change who is a member",
        "Give the lease back",
        "Stop",
    )
    tasks = [f"task:{line['number']}" for line in run.tasks if line["task"].startswith(names)]
    steps = [f"step:{line['step']}" for line in run.record if line["kind"] == "step"]
    assert tasks
    assert steps, "the journal had no step"
    return tasks + steps


@pytest.mark.faults
def test_killed_out_and_in(data: Rehearsal) -> None:
    """Each round adds redis4 with a kill and removes it with a kill; clients notice nothing and lose nothing."""
    add_redis4(data)
    grown = places(data.play("scale").ok())
    data.mark("redis", "redis4", redis_state="leaving")
    shrunk = places(data.play("scale").ok())
    assert_gone(data)
    for number in range(max(len(grown), len(shrunk))):
        with writing(data):
            data.mark("redis", "redis4", redis_state="present")
            if number < len(grown):
                data.play("scale", kill=grown[number])
            data.play("scale").ok()
            assert_member(data)
            data.mark("redis", "redis4", redis_state="leaving")
            if number < len(shrunk):
                data.play("scale", kill=shrunk[number])
            data.play("scale").ok()
        assert_gone(data)
        print(f"round {number}: out at {grown[number:][:1]}, in at {shrunk[number:][:1]}", flush=True)
    drop_redis4(data)


@pytest.mark.faults
def test_a_dry_run_on_bare_machines_shows_the_creation(data_lab: Rehearsal) -> None:
    add_redis4(data_lab)
    try:
        planned = data_lab.play("scale", "--check", "--diff").ok()
        assert "install" in planned.output
        assert "meet" in planned.output or "create" in planned.output
        assert data_lab.shell("redis4", LEFTOVERS).strip() == ""
    finally:
        drop_redis4(data_lab)


@pytest.mark.faults
def test_restarted_host_by_host(data: Rehearsal) -> None:
    """Killed in the middle of a turn and run again it finishes; a host's servers are restarted, and no call fails."""
    started = "systemctl show redis@7000.service redis@7001.service --property=ActiveEnterTimestampMonotonic"
    before = {host: data.shell(host, started) for host in HOSTS}
    with writing(data):
        name = "task-name:Go on only when the cluster is well again"
        killed = data.play("rolling_restart", "--tags", "redis", "-e", "restart_all=true", kill=name)
        assert killed.code == -9, killed.output
        data.play("rolling_restart", "--tags", "redis", "-e", "restart_all=true").ok()
    assert all(data.shell(host, started) != before[host] for host in HOSTS)
    assert_nothing_left_behind(data, HOSTS)
    assert data.play("scale").ok().changed == {}
    data.play("verify").ok()


@pytest.mark.faults
def test_the_next_host_speaks_when_the_first_is_dead(data: Rehearsal) -> None:
    """A dead member is a refusal, told by another; marked, it holds nobody up, and comes back as it was."""
    data.lab("kill", "redis1").ok()
    try:
        refused = data.play("scale")
        assert refused.code == 2, refused.output
        assert "every member answers" in refused.output
        assert refused.changed == {}
        data.mark("redis", "redis1", redis_state="maintenance")
        data.play("scale").ok()
    finally:
        data.lab("start", "redis1").ok()
        data.mark("redis", "redis1", redis_state="present")
    data.play("scale").ok()
    assert_nothing_left_behind(data, HOSTS)
    data.play("verify").ok()


@pytest.mark.faults
def test_a_host_loses_one_of_its_servers(data: Rehearsal) -> None:
    """It stays with the other one; what it lost is stopped after the cluster has forgotten it."""
    add_redis4(data)
    data.play("scale").ok()
    both = [{"cluster": "sessions", "port": 7000}, {"cluster": "sessions", "port": 7001, "state": "leaving"}]
    data.mark("redis", "redis4", redis_instances=both)
    with writing(data):
        data.play("scale").ok()
    units = data.shell("redis4", "systemctl list-units --plain --no-legend 'redis@*'")
    assert "redis@7000" in units
    assert "redis@7001" not in units
    assert_nothing_left_behind(data, (*HOSTS, "redis4"))
    data.mark("redis", "redis4", redis_state="leaving")
    data.play("scale").ok()
    drop_redis4(data)


@pytest.mark.faults
def test_another_operator_is_refused_until_unlocked(data: Rehearsal) -> None:
    """A run that was killed holds the lease; somebody else finds the work half done, and must decide."""
    add_redis4(data)
    killed = data.play("scale", kill="task-name:Change who is a member, as what, and with which data")
    assert killed.code == -9, killed.output
    other = {"SUDO_USER": "somebody-else"}
    refused = data.play("scale", env=other)
    assert refused.code != 0
    assert "a run holds the lease on a majority" in refused.output
    data.play("unlock", env=other).ok()
    data.play("scale", env=other).ok()
    assert_member(data)
    data.mark("redis", "redis4", redis_state="leaving")
    data.play("scale").ok()
    drop_redis4(data)
