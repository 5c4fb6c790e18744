"""Settings for every test."""

from __future__ import annotations

import pytest
from ansible.plugins.loader import init_plugin_loader
from hypothesis import settings
from support.properties import profile_of, register_profiles

# Ansible finds the collection's plugins only if its loader was there before anything of the collection was imported;
# in one process with other tests that would depend on their order.
init_plugin_loader()

register_profiles()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples of property tests, before a test module is imported."""
    settings.load_profile(profile_of(config))
