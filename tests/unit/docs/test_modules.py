"""The documentation of every module is complete, and its examples are tasks that the module would take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from support.documented import PREFIX, documentation

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
# What a task may say beside its module.
KEYWORDS = frozenset(
    [
        "name",
        "register",
        "when",
        "loop",
        "loop_control",
        "become",
        "become_user",
        "check_mode",
        "delegate_to",
        "tags",
        "vars",
        "notify",
        "no_log",
        "until",
        "changed_when",
        "failed_when",
        "environment",
        "run_once",
        "any_errors_fatal",
        "timeout",
        "diff",
        "throttle",
    ]
)
TEMPLATE = re.compile(r"\{\{|\{%")
SPEC_KEYS = ("type", "elements", "required", "choices", "default", "aliases", "no_log")

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)


def as_spec(options: dict[str, Any]) -> dict[str, Any]:
    """Documented options as an argument spec."""
    spec = {}
    for name, option in options.items():
        spec[name] = {key: option[key] for key in SPEC_KEYS if key in option}
        inside = option.get("suboptions")
        if inside:
            spec[name]["options"] = as_spec(inside)
    return spec


def is_template(value: Any) -> bool:
    """Whether the value is known only when a play runs."""
    return isinstance(value, str) and bool(TEMPLATE.search(value))


def settle(args: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with the checks left out that a templated value cannot be held to yet."""
    settled = {}
    for name, option in spec.items():
        value = args.get(name)
        if is_template(value) or (isinstance(value, list) and any(is_template(v) for v in value)):
            settled[name] = {"type": "raw", "required": option.get("required", False)}
        elif "options" in option and isinstance(value, (dict, list)):
            values = [value] if isinstance(value, dict) else value
            inside = option["options"]
            for one in values:
                inside = settle(one, inside)
            settled[name] = {**option, "options": inside}
        else:
            settled[name] = option
    return settled


def tasks_of(path: Path) -> list[dict[str, Any]]:
    """The example tasks; examples that are whole plays are looked into."""
    found: list[dict[str, Any]] = []
    for entry in documentation(path.stem, "EXAMPLES") or []:
        if "hosts" in entry:
            found += [*entry.get("pre_tasks", []), *entry.get("tasks", []), *entry.get("post_tasks", [])]
        else:
            found.append(entry)
    return found


def test_modules_are_found() -> None:
    """What is parametrized below would pass on nothing."""
    assert {path.stem for path in MODULES} >= {"app_instances", "config_set", "lease", "nginx_pool"}


@each_module
def test_examples_are_accepted(path: Path) -> None:
    """Each example names this collection's modules in full, and its arguments pass the documented spec."""
    own = 0
    for task in tasks_of(path):
        actions = [key for key in task if key not in KEYWORDS]
        assert len(actions) == 1, f"{path.stem}: one module a task, seen {actions}"
        assert "." in actions[0], f"{path.stem}: {actions[0]} is not called by its full name"
        if actions[0] != PREFIX + path.stem:
            continue
        own += 1
        args = task[actions[0]] or {}
        spec = as_spec(documentation(path.stem, "DOCUMENTATION").get("options") or {})
        result = ArgumentSpecValidator(settle(args, spec)).validate(args)
        assert result.error_messages == [], f"{task.get('name')}: {result.error_messages}"
    assert own, f"{path.stem} has no example of itself"


def sampleless(values: dict[str, Any], where: str = "") -> list[str]:
    """Returned values that neither have a sample nor say what they contain."""
    wrong = []
    for name, value in values.items():
        if value.get("contains"):
            wrong += sampleless(value["contains"], f"{where}{name}.")
        elif "sample" not in value:
            wrong.append(f"{where}{name}")
    return wrong


@each_module
def test_returned_values_have_samples(path: Path) -> None:
    """A reader sees what comes back."""
    values = documentation(path.stem, "RETURN")
    assert values, f"{path.stem} documents nothing that it returns"
    assert sampleless(values) == []


@each_module
def test_check_and_diff_mode_are_said(path: Path) -> None:
    """The attributes that operators decide by."""
    attributes = documentation(path.stem, "DOCUMENTATION").get("attributes") or {}
    assert {"check_mode", "diff_mode"} <= set(attributes), f"{path.stem} says only {sorted(attributes)}"
