"""Settings for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: these machines are shared, and a slow example says nothing about the code. What decides whether a
# change lands tries the same examples every time; a developer's runs go on looking for new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
