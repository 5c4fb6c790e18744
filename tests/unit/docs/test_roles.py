"""Every role has the same rooms, and its defaults are what its argument specs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
# A role has more task files where it has something to say there: preflight, configure, service, remove.
ROOMS = (
    "README.md",
    "defaults/main.yml",
    "vars/main.yml",
    "meta/main.yml",
    "meta/argument_specs.yml",
    "tasks/main.yml",
    "tasks/install.yml",
    "tasks/verify.yml",
)
TYPES = ("str", "int", "float", "bool", "list", "dict", "path", "raw")
TASK_LINES = 120
ROUTER_LINES = 60

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


def load(path: Path) -> Any:
    """A YAML file's content, an empty file being an empty mapping."""
    return yaml.safe_load(path.read_text()) or {}


def options_of(role: Path) -> dict[str, Any]:
    """The options of all entry points of a role."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}


def test_roles_are_found() -> None:
    """What is parametrized below would pass on nothing."""
    assert {role.name for role in ROLES} >= {"base", "app", "nginx"}


@each_role
def test_rooms(role: Path) -> None:
    """The same files in every role."""
    assert [room for room in ROOMS if not (role / room).is_file()] == []


@each_role
def test_defaults_are_what_the_specs_say(role: Path) -> None:
    """Same names, same values: neither is kept in step by hand."""
    specs = {name: option["default"] for name, option in options_of(role).items() if "default" in option}
    assert load(role / "defaults/main.yml") == specs


@each_role
def test_what_has_no_default_is_required_or_optional_on_purpose(role: Path) -> None:
    """An option that is required has no default, and the other way round is said by a description."""
    for name, option in options_of(role).items():
        assert not (option.get("required") and "default" in option), f"{name} is required and has a default"


def untyped(options: dict[str, Any], path: str = "") -> list[str]:
    """The paths of options that lack a known type, elements or a description."""
    wrong = []
    for name, option in options.items():
        where = f"{path}{name}"
        if option.get("type") not in TYPES:
            wrong.append(f"{where}: type")
        if option.get("type") == "list" and option.get("elements") not in TYPES:
            wrong.append(f"{where}: elements")
        if not option.get("description"):
            wrong.append(f"{where}: description")
        wrong += untyped(option.get("options") or {}, f"{where}.")
    return wrong


@each_role
def test_specs_are_typed_and_described(role: Path) -> None:
    """Every option, also inside structures."""
    assert untyped(options_of(role)) == []


@each_role
def test_inputs_carry_the_role_name(role: Path) -> None:
    """A role's own inputs start with its name; what concerns all starts with steelyard_."""
    own = (f"{role.name}_", "steelyard_", "firewall_") if role.name == "base" else (f"{role.name}_", "steelyard_")
    assert [name for name in options_of(role) if not name.startswith(own)] == []


@each_role
def test_task_files_are_short(role: Path) -> None:
    """A router of under 60 lines; past 120 lines a task file is split."""
    long = {str(p.relative_to(role)): len(p.read_text().splitlines()) for p in sorted((role / "tasks").rglob("*.yml"))}
    assert long.pop("tasks/main.yml") < ROUTER_LINES
    assert {name: lines for name, lines in long.items() if lines >= TASK_LINES} == {}


@each_role
def test_supported_systems_are_named(role: Path) -> None:
    """The same systems in every role."""
    platforms = load(role / "meta/main.yml")["galaxy_info"]["platforms"]
    versions = {platform["name"]: set(platform["versions"]) for platform in platforms}
    assert versions == {"Debian": {"bookworm", "trixie"}, "Ubuntu": {"jammy", "noble"}}
