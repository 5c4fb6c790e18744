"""What a module's documentation says, with what it takes from documentation fragments."""

from __future__ import annotations

import importlib
from typing import Any

import yaml

PREFIX = "steelyard.stack."
PLUGINS = "ansible_collections.steelyard.stack.plugins"


def documentation(module: str, block: str = "DOCUMENTATION") -> Any:
    """Return one of a module's blocks, parsed; raises AssertionError where it and a fragment say the same thing."""
    found = yaml.safe_load(getattr(importlib.import_module(f"{PLUGINS}.modules.{module}"), block))
    if block != "DOCUMENTATION":
        return found
    for name in found.pop("extends_documentation_fragment", ()):
        fragment = importlib.import_module(f"{PLUGINS}.doc_fragments.{name.removeprefix(PREFIX)}").ModuleDocFragment
        for part, entries in yaml.safe_load(fragment.DOCUMENTATION).items():
            twice = found.get(part, {}).keys() & entries.keys()
            assert not twice, f"{module} documents {twice} itself, and takes it from {name}"
            found[part] = {**found.get(part, {}), **entries}
    return found


def spec_of(documented: dict[str, Any]) -> dict[str, Any]:
    """Return the argument spec that documented options describe."""
    found: dict[str, Any] = {}
    for name, option in documented.items():
        found[name] = {k: option[k] for k in ("type", "elements", "choices", "required", "default") if k in option}
        if "suboptions" in option:
            found[name]["options"] = spec_of(option["suboptions"])
    return found


def without_no_log(spec: dict[str, Any]) -> dict[str, Any]:
    """Return an argument spec without what documentation does not say."""
    return {
        name: {
            **{k: v for k, v in option.items() if k not in ("no_log", "options")},
            **({"options": without_no_log(option["options"])} if "options" in option else {}),
        }
        for name, option in spec.items()
    }
