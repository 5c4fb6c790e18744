"""Cases as data files: one file is one test, and a directory without any is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


def load_cases(directory: Path) -> list[Any]:
    """Return one pytest parameter for each YAML file, with the file's name as the test's id."""
    files = sorted(directory.glob("*.yml"))
    if not files:
        raise FileNotFoundError(f"no cases in {directory}")
    return [pytest.param(yaml.safe_load(f.read_text(encoding="utf-8")), id=f.stem) for f in files]
