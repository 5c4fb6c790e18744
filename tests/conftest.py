"""Settings for every test."""

from __future__ import annotations

import os

from ansible.plugins.loader import init_plugin_loader
from hypothesis import settings

# Ansible finds the collection's plugins only if its loader was there before anything of the collection was imported;
# in one process with other tests that would depend on their order.
init_plugin_loader()

# No deadline: these machines are shared, and a slow example says nothing about the code. What decides whether a
# change lands tries the same examples every time; a developer's runs go on looking for new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
