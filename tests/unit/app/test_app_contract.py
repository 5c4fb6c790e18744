"""Documentation, argument specs and the role agree with what the code accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.app_hosts import app_class, instances
from support.documented import documentation, spec_of, without_no_log

from ansible_collections.steelyard.stack.plugins.module_utils.app import arguments
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance
from ansible_collections.steelyard.stack.plugins.module_utils.app.options import CLASS_OPTIONS, RELEASE_OPTIONS
from ansible_collections.steelyard.stack.plugins.modules import app_instances

ROLE = Path(__file__).resolve().parents[3] / "roles" / "app"


def test_the_documentation_is_the_argument_spec() -> None:
    documented = spec_of(documentation("app_instances")["options"])
    assert documented == without_no_log(app_instances.ARGUMENTS)


def test_examples_use_known_options() -> None:
    examples = yaml.safe_load(app_instances.EXAMPLES)
    assert examples
    for example in examples:
        assert set(example["steelyard.stack.app_instances"]) <= set(app_instances.ARGUMENTS)


def test_an_instance_is_what_the_module_takes() -> None:
    (instance,) = instances({"api": app_class()})
    assert set(instance.as_dict()) == set(arguments.INSTANCE) == set(Instance.__dataclass_fields__)
    assert set(instance.release.as_dict()) == set(arguments.RELEASE)


def test_secrets_are_marked() -> None:
    assert arguments.INSTANCE["secrets"]["no_log"] is True


@pytest.mark.parametrize("entry", ["main", "remove", "verify"])
def test_the_roles_defaults_are_its_specs(entry: str) -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"][entry]["options"]
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert {n: o["default"] for n, o in options.items() if "default" in o} == defaults


def test_the_role_documents_every_key_of_a_class() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    text = " ".join(options["app_classes"]["description"])
    assert [k for k in (*CLASS_OPTIONS, *RELEASE_OPTIONS) if f"C({k})" not in text] == []
