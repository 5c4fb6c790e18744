"""Unit files and environments: what systemd reads back is what the inventory said."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.app_hosts import app_class, instances

from ansible_collections.steelyard.stack.plugins.module_utils.app import parse, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Slice

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), min_codepoint=32), min_size=1, max_size=30)


def as_systemd_reads(line: str) -> list[str]:
    """Undo the quoting by systemd's rules for double quotes, then its `%` and `$` doubling."""
    words = []
    for quoted in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
        plain = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m.group(1), m.group(1)), quoted)
        assert "%" not in plain.replace("%%", "")
        assert "$" not in plain.replace("$$", "")
        words.append(plain.replace("%%", "%").replace("$$", "$"))
    return words


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_arguments_reach_the_program_unchanged(words: list[str]) -> None:
    line = unit_files.exec_line(words)
    assert "\n" not in line
    assert as_systemd_reads(line) == words


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), TEXT, max_size=5))
def test_values_reach_the_program_unchanged(variables: dict[str, str]) -> None:
    text = unit_files.environment_text(variables)
    lines = [line for line in text.split("\n")[1:] if line]
    read = {}
    for line in lines:
        name, quoted = line.split("=", 1)
        assert re.fullmatch(r'"(?:[^"\\$`]|\\["\\$`])*"', quoted)
        read[name] = re.sub(r"\\(.)", r"\1", quoted[1:-1])
    assert read == variables


def test_files_of_an_instance() -> None:
    (found,) = instances({"api": app_class(secrets={"TOKEN": "sesame"}, cpu_quota="50%", stop_deadline="7s")})
    drop_in, environment, secrets = unit_files.instance_files(found)
    for line in ("Slice=app-api.slice", "CPUQuota=50%", "MemoryMax=134217728", "TimeoutStopSec=7", "ExecStart="):
        assert line in drop_in.content.splitlines()
    assert "sesame" not in drop_in.content + environment.content
    assert 'TOKEN="sesame"' in secrets.content
    assert (secrets.mode, secrets.secret, secrets.owner) == (0o600, True, "root")
    assert parse.environment_value(environment.content, "STEELYARD_CONFIG") == unit_files.config_digest(found)


def test_a_low_port_gets_the_one_capability_that_it_needs() -> None:
    (found,) = instances({"api": app_class(ports=[443])})
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit_files.instance_files(found)[0].content
    (found,) = instances({"api": app_class()})
    assert "CAP_" not in unit_files.instance_files(found)[0].content


def test_the_digest_covers_what_a_restart_brings() -> None:
    (base,) = instances({"api": app_class()})
    changed = [
        replace(base, command=("/bin/true",)), replace(base, environment={"A": "b"}), replace(base, secrets={"A": "b"}),
        replace(base, memory_max=1), replace(base, cpu_quota=1.0), replace(base, class_name="other"),
        replace(base, release=replace(base.release, checksum="sha256:" + "1" * 64)),
    ]  # fmt: skip
    digests = {unit_files.config_digest(i) for i in [base, *changed]}
    assert len(digests) == len(changed) + 1
    same = replace(base, stop_deadline=99, start_deadline=99, readiness="/other", keep_releases=9, state="maintenance")
    assert unit_files.config_digest(same) == unit_files.config_digest(base)


def test_a_host_without_instances_has_no_files() -> None:
    assert unit_files.host_files((), Slice(100, 1)) == ()


def test_paths_are_written_once() -> None:
    found = instances({"api": app_class(ports=[8000, 8001]), "workers": app_class(ports=[9000], group="api")})
    paths = [f.path for f in unit_files.host_files(found, Slice())]
    assert len(paths) == len(set(paths))
    assert len(paths) == 2 + 2 + 3 * 3


def test_ports_in_names() -> None:
    names = ["/etc/systemd/system/app@8000.service.d/steelyard.conf", "app@8001.service loaded active", "app@x.service"]
    assert parse.ports_in(names) == {8000, 8001}


def test_environments_of_processes() -> None:
    assert parse.environ(b"A=b\0STEELYARD_CONFIG=12\0C=d=e\0junk\0") == {"A": "b", "STEELYARD_CONFIG": "12", "C": "d=e"}
