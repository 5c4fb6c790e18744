"""Makes docs/roles, docs/modules and the variables in each role's README from argument specs and ansible-doc.

`--check` changes nothing and fails when a page is not what it would be made to be.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from docpages import index_page, plugin_page, role_page, with_variables

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "steelyard.stack"
KINDS = {"module": "modules", "lookup": "lookup", "filter": "filter"}


def role_specs() -> dict[str, Mapping[str, Any]]:
    """Each role's argument specs; a role without them, or no role at all, ends the run."""
    found = {}
    for role in sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()):
        specs = role / "meta" / "argument_specs.yml"
        if not specs.is_file():
            raise SystemExit(f"docs: roles/{role.name} has no meta/argument_specs.yml")
        found[role.name] = yaml.safe_load(specs.read_text())["argument_specs"]
    if not found:
        raise SystemExit("docs: no role found")
    return found


def ansible_doc(*words: str) -> dict[str, Any]:
    """What ansible-doc says, as data."""
    argv = [str(Path(sys.executable).parent / "ansible-doc"), "--json", *words]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(ROOT / ".build" / "home"),
    }
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"docs: ansible-doc {' '.join(words)} failed:\n{done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def plugin_docs(kind: str) -> dict[str, Any]:
    """The documentation of all plugins of a kind, by full name; a module without one ends the run."""
    files = {f"{NAMESPACE}.{path.stem}" for path in (ROOT / "plugins" / KINDS[kind]).glob("[!_]*.py")}
    if not files:
        return {}
    # A file may hold several filters, so those are asked for by what Ansible lists.
    names = sorted(ansible_doc("-t", kind, "--list", NAMESPACE)) if kind == "filter" else sorted(files)
    docs = ansible_doc("-t", kind, *names) if names else {}
    missing = [name for name in names if not docs.get(name, {}).get("doc")]
    if missing or not names:
        raise SystemExit(f"docs: no documentation of {kind} {', '.join(missing or sorted(files))}")
    return {name: docs[name] for name in names}


def pages() -> dict[Path, str]:
    """Every page that is made, by its path, as it should be."""
    made: dict[Path, str] = {}
    roles = role_specs()
    for role, specs in roles.items():
        made[ROOT / "docs" / "roles" / f"{role}.md"] = role_page(role, specs)
        readme = ROOT / "roles" / role / "README.md"
        if not readme.is_file():
            raise SystemExit(f"docs: roles/{role} has no README.md")
        made[readme] = with_variables(readme.read_text(), specs)
    named = {role: str(specs.get("main", {}).get("short_description", "")) for role, specs in roles.items()}
    made[ROOT / "docs" / "roles" / "README.md"] = index_page("Roles", "roles/*/meta/argument_specs.yml", named)
    listed = {}
    for kind in KINDS:
        for name, entry in plugin_docs(kind).items():
            page = ROOT / "docs" / "modules" / f"{name.rsplit('.', 1)[-1]}.md"
            made[page] = plugin_page(kind, name, entry)
            listed[name] = entry["doc"]["short_description"]
    if listed:
        made[ROOT / "docs" / "modules" / "README.md"] = index_page("Modules, lookups and filters", "plugins", listed)
    return made


def main() -> int:
    """Write the pages, or say which are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when a page differs")
    check = parser.parse_args().check
    made = pages()
    stale = [page for kind in ("roles", "modules") for page in (ROOT / "docs" / kind).glob("*.md") if page not in made]
    wrong = [page for page, text in made.items() if not page.is_file() or page.read_text() != text]
    if not check:
        for page in wrong:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(made[page])
        for page in stale:
            page.unlink()
    for page in sorted({*wrong, *stale}):
        print(f"docs: {page.relative_to(ROOT)} {'is not what its source says; run: make docs' if check else 'written'}")
    print(f"{len(made)} pages, {len(wrong) + len(stale)} {'wrong' if check else 'changed'}")
    return 1 if check and (wrong or stale) else 0


if __name__ == "__main__":
    sys.exit(main())
