# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of a run's inventories are overlays of labs, and which labs stand in for the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import Source
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.rehearsal import CONNECTION
from ansible_collections.steelyard.stack.plugins.plugin_utils.journal import LAB_MARKER

FOLDER = ".lab"


def sources_of(task_vars: Mapping[str, Any]) -> tuple[Source, ...]:
    """Return the sources of a run that are files or folders, in their order; a list of hosts is none."""
    paths = (Path(str(source)) for source in task_vars.get("ansible_inventory_sources") or ())
    return tuple(source_at(path) for path in paths if os.path.exists(path))  # no name of a file: a long list of hosts


def source_at(path: Path) -> Source:
    """Return what one source is: an overlay is known by its marker, and says there what it stands in for."""
    folder = path if path.is_dir() else path.parent
    marker = _marker(folder)
    stands_for = str(marker.get("inventory") or "")
    return Source(
        path=_short(path),
        place=_folder(path),
        lab=str(marker.get("lab") or folder.name) if marker else "",
        stands_for=_folder(Path(stands_for)) if stands_for else "",
        addresses={str(k): str(v) for k, v in dict(marker.get("addresses") or {}).items()},
        reached=_reached(folder) if marker else {},
    )


def labs_of(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the overlays that stand in for one of these sources, of those given and those under `.lab/` here."""
    known = tuple(sources)
    real = {source.place for source in known if not source.lab}
    folders = {Path.cwd() / FOLDER, *(Path(source.place).parent for source in known if source.lab)}
    found = [
        source_at(marker.parent) for folder in sorted(folders) for marker in sorted(folder.glob(f"*/{LAB_MARKER}"))
    ]
    return tuple(overlay for overlay in found if overlay.stands_for in real)


def _reached(overlay: Path) -> dict[str, dict[str, Any]]:
    """Return, by stand-in, the variables of an overlay that decide how it is reached."""
    found = {}
    for path in sorted((overlay / "host_vars").glob("*.yml")):
        stated = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found[path.stem] = {str(name): value for name, value in stated.items() if CONNECTION.match(str(name))}
    return found


def _marker(folder: Path) -> dict[str, Any]:
    try:
        marker = json.loads((folder / LAB_MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"lab": folder.name}  # it is one, whatever its marker says
    return {"lab": folder.name, **marker} if isinstance(marker, dict) else {"lab": folder.name}


def _folder(path: Path) -> str:
    """Return an inventory's folder, where links lead; what exists no longer is told by its name."""
    whole = path.resolve()
    is_file = whole.is_file() or (bool(whole.suffix) and not whole.exists())
    return str(whole.parent if is_file else whole)


def _short(path: Path) -> str:
    here = Path.cwd()
    whole = Path(os.path.abspath(path))  # as it was named: links are not followed
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
