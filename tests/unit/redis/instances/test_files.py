"""What is written for servers and Sentinels: who may read it, what wins, what a certificate is called."""

from __future__ import annotations

import configparser
from dataclasses import replace
from typing import Any

from support import redis_hosts
from support.redis_hosts import PACKAGE, server, watcher

from ansible_collections.steelyard.stack.plugins.module_utils.fileset import WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import start, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import (
    One,
    Server,
    Watcher,
    package_named,
)

TLS = {"certificate": "-----BEGIN CERTIFICATE-----", "key": "-----BEGIN PRIVATE KEY-----", "ca": "-----BEGIN CA-----"}


def files(*ones: One) -> dict[str, WantedFile]:
    servers = [one for one in ones if isinstance(one, Server)]
    watchers = [one for one in ones if isinstance(one, Watcher)]
    return {f.path: f for f in unit_files.host_files(servers, watchers, PACKAGE)}


def test_nothing_placed_needs_no_files() -> None:
    assert files() == {}


def test_a_servers_files() -> None:
    assert list(files(server())) == [
        "/opt/steelyard/redis/start.py", "/etc/systemd/system/redis@.service",
        "/etc/systemd/system/redis@7000.service.d/steelyard.conf", "/etc/steelyard/redis/7000/settings.conf",
        "/etc/steelyard/redis/7000/secrets.conf", "/etc/steelyard/redis/7000/users.acl",
    ]  # fmt: skip


def test_secrets_are_in_private_files_alone() -> None:
    found = files(
        server(secrets={"masterauth": "geheim"}, tls=TLS), watcher(tls=TLS, monitor=("sentinel auth-pass x geheim",))
    )
    private = {p for p, f in found.items() if not f.mode & 0o007}
    told = {p for p, f in found.items() if "geheim" in f.content or "PRIVATE KEY" in f.content}
    assert told
    assert told <= {p for p in private if found[p].secret}
    assert {found[p].group for p in private} == {"redis"}


def test_the_file_of_settings_holds_no_secret_and_is_shown() -> None:
    found = files(server(secrets={"masterauth": "geheim"}))
    assert not found["/etc/steelyard/redis/7000/settings.conf"].secret
    assert "masterauth geheim" in found["/etc/steelyard/redis/7000/secrets.conf"].content


def test_where_things_are_wins_over_settings() -> None:
    text = unit_files.settings_text(server(settings={"dir": "/tmp/x", "port": "1"}))
    assert start.directives(text)["dir"] == "/var/lib/steelyard-redis/7000"
    assert start.directives(text)["port"] == "7000"


def test_savings_begin_with_none() -> None:
    lines = unit_files.settings_text(server(settings={"save": "3600 1 300 100"})).splitlines()
    assert [line for line in lines if line.startswith("save")] == ['save ""', "save 3600 1 300 100"]


def test_with_a_certificate_there_is_no_plain_port() -> None:
    settings = unit_files.settings_of(server(tls=TLS))
    assert (settings["port"], settings["tls-port"]) == ("0", "7000")


def test_another_key_has_another_name_and_so_is_read_anew() -> None:
    before, after = server(tls=TLS), server(tls={**TLS, "key": "other"})
    assert set(unit_files.tls_paths(before).values()).isdisjoint(unit_files.tls_paths(after).values())


def test_open_files_need_a_restart() -> None:
    plain, limited = server(), server(nofile=1234)
    assert "LimitNOFILE=1234\n" in files(limited)[unit_files.drop_in_path(limited)].content
    assert unit_files.unit_digest(plain, PACKAGE) != unit_files.unit_digest(limited, PACKAGE)


def test_a_limit_of_memory_needs_none() -> None:
    plain, limited = server(), server(memory_max=1234567)
    assert "MemoryMax=infinity\n" in files(plain)[unit_files.drop_in_path(plain)].content
    assert "MemoryMax=1234567\n" in files(limited)[unit_files.drop_in_path(limited)].content
    assert unit_files.unit_digest(plain, PACKAGE) == unit_files.unit_digest(limited, PACKAGE)


def test_settings_are_no_part_of_the_units_digest() -> None:
    one = server()
    assert unit_files.unit_digest(one, PACKAGE) == unit_files.unit_digest(replace(one, settings={}), PACKAGE)


def test_a_primary_without_persistence_is_not_started_anew_to_empty_its_replicas() -> None:
    def restarts(**fields: Any) -> bool:
        one = server(**fields)
        return "Restart=no" not in files(one)[unit_files.drop_in_path(one)].content

    assert restarts(persistent=False, mode="standalone")
    assert restarts(persistent=True, mode="replication")
    assert not restarts(persistent=False, mode="replication")
    assert not restarts(persistent=False, mode="cluster")


def test_units_can_be_parsed_and_run_as_the_packages_user() -> None:
    valkey = package_named("valkey-server")
    for kind in ("server", "sentinel"):
        parser = configparser.RawConfigParser(strict=True)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(unit_files.template(kind, valkey))
        service = parser["Service"]
        assert (service["User"], service["RestartPreventExitStatus"]) == ("valkey", str(start.REFUSED))
        assert service["ExecStart"].endswith(f"start.py run {kind} %i /usr/bin/valkey-server")


def test_the_launcher_is_written_as_it_stands() -> None:
    text = files(server())[unit_files.PROGRAM].content
    compile(text, "start.py", "exec")
    assert "ansible_collections" not in text


def test_a_fleet_of_one_kind_has_no_unit_of_the_other() -> None:
    assert unit_files.template_path("server") not in files(watcher())
    assert unit_files.template_path("sentinel") not in files(server())


def test_a_title_is_no_specifier() -> None:
    one = server(cluster="a%b")
    assert "Description=Redis a%%b" in files(one)[unit_files.drop_in_path(one)].content


def test_a_seen_host_shows_no_secret() -> None:
    one = server(secrets={"masterauth": "geheim"}, admin_password="auchgeheim")
    shown = str(redis_hosts.seen_one(one).as_dict()) + repr(redis_hosts.seen_one(one)) + repr(one)
    assert "geheim" not in shown
