"""The module over a service that is simulated: what it has loaded is what it answers."""

from __future__ import annotations

import base64
import functools
import getpass
import grp
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.steelyard.stack.plugins.module_utils import activation
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction
from ansible_collections.steelyard.stack.plugins.modules import config_set

OWNER, GROUP = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


class Service:
    """Loads its stamp when it is told to reload; `refuses` a configuration that holds this word."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.active = "active"
        self.loaded = ""
        self.refuses = "unacceptable"
        self.calls: list[str] = []

    def run(self, argv: Sequence[str]) -> None:
        self.calls.append(" ".join(argv))
        stamp = self.root / "stamp"
        accepted = stamp.exists() and self.refuses not in (self.root / "main").read_text()
        if argv[1] in ("reload", "restart") and accepted:
            self.loaded = stamp.read_text().strip()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    root = tmp_path / "etc"
    root.mkdir()
    found = Service(root)
    state = functools.partial(Transaction, state_dir=str(tmp_path / "state"))
    monkeypatch.setattr(config_set, "Transaction", state)
    monkeypatch.setattr(activation, "unit_properties", lambda unit: {"ActiveState": found.active})
    monkeypatch.setattr(activation.Activator, "_run", lambda self, argv: found.run(argv))
    monkeypatch.setattr(activation.Activator, "_answer", lambda self: found.loaded)
    monkeypatch.setattr(activation.Activator, "_why", lambda self, said: said)
    return found


def call(service: Service, content: str, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    files = [
        {"dest": str(service.root / "main"), "content": content, "mode": "0644", "owner": OWNER, "group": GROUP},
    ]
    unit = {
        "unit": "x.service", "action": "reload", "loaded_url": "http://127.0.0.1/", "deadline": "100ms",
        "command": [], "paths": [], "daemon_reload": False, "enable": False, "start": False,
    }  # fmt: skip
    params = {
        "name": "x", "files": [], "absent": [], "prune": [], "stage": None, "validate": [], "activate": [unit],
        "payload": base64.b64encode(zlib.compress(json.dumps(files).encode())).decode(),
        "stamp": {"dest": str(service.root / "stamp"), "content": "{digest}", "mode": "0644"},
        **more,
    }  # fmt: skip
    if OWNER != "root":
        pytest.skip("the stamp belongs to root")
    return config_set.run(SimpleNamespace(params=params, check_mode=check_mode))  # type: ignore[arg-type]


def test_first_then_nothing(service: Service) -> None:
    found = call(service, "one\n")
    assert found["activated"]
    assert found["actions"] == ["reload x.service"]
    assert service.loaded == found["digest"]
    again = call(service, "one\n")
    assert not again["changed"]
    assert service.calls == ["systemctl reload x.service"]


def test_check_mode_tells_the_same_and_does_nothing(service: Service) -> None:
    told = call(service, "one\n", check_mode=True)
    assert service.calls == []
    assert list(service.root.iterdir()) == []
    done = call(service, "one\n")
    assert told["diff"] == done["diff"]
    assert told["changed"]
    assert not told["activated"]


def test_died_between_the_file_and_the_reload(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    call(service, "one\n")

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(config_set, "take_over", die)
        with pytest.raises(KeyboardInterrupt):
            call(service, "two\n")
    before = service.loaded
    found = call(service, "two\n")
    assert found["files"] == []
    assert found["activated"]
    assert service.loaded == found["digest"] != before


def test_refused_by_the_service_the_last_good_one_is_back(service: Service) -> None:
    good = call(service, "one\n")["digest"]
    with pytest.raises(SteelyardError) as caught:
        call(service, "unacceptable\n")
    assert "the last good files are back and in force" in str(caught.value)
    assert (service.root / "main").read_text() == "one\n"
    assert service.loaded == good
    assert not call(service, "one\n")["changed"]


def test_killed_and_then_refused_goes_back_to_what_was_before_the_kill(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = call(service, "one\n")["digest"]

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(config_set, "take_over", die)
        with pytest.raises(KeyboardInterrupt):
            call(service, "unacceptable\n")
    with pytest.raises(SteelyardError, match="last good files are back"):
        call(service, "unacceptable\n")
    assert (service.root / "main").read_text() == "one\n"
    assert service.loaded == good


def test_refused_by_the_checker_nothing_moves(service: Service) -> None:
    call(service, "one\n")
    with pytest.raises(SteelyardError, match="accepts the new files"):
        call(service, "two\n", stage=str(service.root), validate=["grep", "-q", "one", "{stage}/main"])
    assert (service.root / "main").read_text() == "one\n"
    assert len(service.calls) == 1


def test_a_missing_checker_is_a_note_in_check_mode_only(service: Service) -> None:
    told = call(service, "one\n", check_mode=True, validate=["no-such-checker"])
    assert "no-such-checker" in told["notes"][0]
    with pytest.raises(Refused, match="install the service first"):
        call(service, "one\n", validate=["no-such-checker"])
    assert list(service.root.iterdir()) == []


def test_a_stopped_service_is_left_alone(service: Service) -> None:
    service.active = "inactive"
    found = call(service, "one\n")
    assert found["changed"]
    assert not found["activated"]
    assert service.calls == []


def test_prune_removes_what_nobody_wants(service: Service) -> None:
    for name in ("stray.conf", "other.txt"):
        (service.root / name).write_text("x")
    (service.root / "dir.conf").mkdir()
    call(service, "one\n", prune=[f"{service.root}/*.conf", f"{service.root}/main"])
    assert sorted(p.name for p in service.root.iterdir()) == ["dir.conf", "main", "other.txt", "stamp"]


def test_a_mode_that_is_not_octal_is_refused(service: Service) -> None:
    files = [{"dest": "/x", "content": "", "mode": "u=rw"}]
    payload = base64.b64encode(zlib.compress(json.dumps(files).encode())).decode()
    with pytest.raises(Refused, match="octal"):
        config_set.wanted_files({"payload": payload, "files": [], "stamp": None})


def test_the_examples_use_options_that_exist() -> None:
    for task in yaml.safe_load(config_set.EXAMPLES):
        args = task["steelyard.stack.config_set"]
        assert set(args) <= set(config_set.ARGUMENT_SPEC)
        for name in ("files", "activate"):
            for entry in args.get(name, []):
                assert set(entry) <= set(config_set.ARGUMENT_SPEC[name]["options"])
