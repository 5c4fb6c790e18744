"""Builds the collection's archive, looks into it, installs it elsewhere and runs it from outside the checkout.

Outside means: another working directory, no ansible.cfg, and collections found in the installed place only (the
virtual environment's, among them the link to this checkout, are not looked at).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".build" / "collection"
BIN = Path(sys.executable).parent
NAMESPACE = "steelyard.stack"
# The top of the archive: what a fleet needs, and nothing that only the project's own work needs.
NEEDED = frozenset({"LICENSE", "MANIFEST.json", "README.md", "meta", "playbooks", "plugins", "roles"})
ALLOWED = NEEDED | {"CHANGELOG.md", "FILES.json", "docs", "examples", "inventories", "runbooks"}
NOWHERE = (
    "__pycache__",
    ".git",
    ".venv",
    ".lab",
    ".steelyard",
    ".build",
    ".pytest_cache",
    ".env",
    "dist",
    "node_modules",
)


class Wrong(Exception):
    """A finding that ends the check; its text says what to do."""


def run(argv: Sequence[str], cwd: Path, environment: dict[str, str]) -> str:
    """The output of a command that must succeed."""
    print(f"$ {' '.join(argv)}", flush=True)
    done = subprocess.run(
        argv, cwd=cwd, env=environment, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise Wrong(f"exit status {done.returncode}:\n{done.stdout}")
    return done.stdout


def build(environment: dict[str, str]) -> Path:
    """The path of the archive, newly made."""
    run(
        [str(BIN / "ansible-galaxy"), "collection", "build", "--force", "--output-path", str(WORK), "."],
        ROOT,
        environment,
    )
    archives = list(WORK.glob("*.tar.gz"))
    if len(archives) != 1:
        raise Wrong(f"one archive expected in {WORK}, found {len(archives)}")
    return archives[0]


def look_into(archive: Path) -> None:
    """Refuse what must not be published, and what is lacking."""
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    names = [member.name.removeprefix("./") for member in members]
    top = {name.split("/", 1)[0] for name in names}
    strange = top - ALLOWED
    hidden = [name for name in names if any(part in NOWHERE for part in name.split("/"))]
    ignored = [name for name in names if is_ignored(name)]
    if strange or hidden or ignored:
        raise Wrong(
            f"not to be published (add it to build_ignore in galaxy.yml): {sorted(strange) or hidden or ignored}"
        )
    if NEEDED - top:
        raise Wrong(f"missing in the archive: {sorted(NEEDED - top)}")
    size = archive.stat().st_size
    print(f"archive: {len(names)} entries, {size // 1024} KiB")


def is_ignored(name: str) -> bool:
    """Whether git ignores the file: then it is a product of work, not part of the project."""
    if not (ROOT / name).is_file():
        return False
    return subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0


def outside(place: Path) -> dict[str, str]:
    """An environment in which only the installed collection exists."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "STEELYARD_"))}
    return kept | {
        "ANSIBLE_CONFIG": str(WORK / "outside.cfg"),
        "ANSIBLE_HOME": str(WORK / "home"),
        "ANSIBLE_COLLECTIONS_PATH": str(place),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
    }


def use(installed: Path, cwd: Path, environment: dict[str, str]) -> None:
    """Documentation, playbooks and plugins, as a user of the archive has them."""
    ansible_doc, ansible_playbook = str(BIN / "ansible-doc"), str(BIN / "ansible-playbook")
    listed = run([ansible_doc, "-t", "module", "--list", NAMESPACE], cwd, environment)
    modules = sorted((installed / "plugins" / "modules").glob("[!_]*.py"))
    lacking = [module.stem for module in modules if f"{NAMESPACE}.{module.stem}" not in listed]
    if lacking or not modules:
        raise Wrong(f"ansible-doc does not list {lacking or 'any module'}")
    inventory = installed / "inventories" / "market"
    if not inventory.is_dir():
        raise Wrong("inventories/market is not in the archive")
    playbooks = sorted((installed / "playbooks").glob("*.yml"))
    if not playbooks:
        raise Wrong("no playbook in the archive")
    for playbook in playbooks:
        run(
            [ansible_playbook, "-i", str(inventory), "--syntax-check", f"{NAMESPACE}.{playbook.stem}"],
            cwd,
            environment,
        )
    contact_nobody(cwd, environment)


def contact_nobody(cwd: Path, environment: dict[str, str]) -> None:
    """Run what works on the control machine: a lookup on a good inventory, a playbook that refuses a bad one."""
    ansible_playbook = str(BIN / "ansible-playbook")
    (cwd / "good.yml").write_text(yaml.safe_dump(GOOD))
    (cwd / "bad.yml").write_text(yaml.safe_dump({**GOOD, "laod_balancers": {"hosts": {"api1": None}}}))
    (cwd / "probe.yml").write_text(yaml.safe_dump(PROBE))
    run([ansible_playbook, "-i", "good.yml", "probe.yml"], cwd, environment)
    try:
        run([ansible_playbook, "-i", "bad.yml", f"{NAMESPACE}.site"], cwd, environment)
    except Wrong as refused:
        if "laod_balancers" not in str(refused) or "load_balancers" not in str(refused):
            raise Wrong(f"a mistyped group was refused without its name and the nearest known one; {refused}") from None
    else:
        raise Wrong("site.yml took an inventory with a mistyped group")


GOOD = {
    "api": {"hosts": {"api1": {"ansible_host": "192.0.2.11"}}},
    "all": {
        "vars": {
            "app_classes": {
                "api": {
                    "ports": [8000],
                    "release": {"version": "1", "src": "/nowhere/api-1.tar.gz", "checksum": f"sha256:{'0' * 64}"},
                    "command": "{release}/bin/api --port {port}",
                }
            }
        }
    },
}
PROBE = [
    {
        "name": "Use the installed collection without contacting a host",
        "hosts": "api",
        "gather_facts": False,
        "tasks": [
            {
                "name": "See what the lookup says",
                "ansible.builtin.assert": {
                    "that": "lookup('steelyard.stack.wanted', 'app_instances') | length > 0",
                    "quiet": True,
                },
            },
        ],
    }
]


def main() -> int:
    """Build, look, install, use."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    (WORK / "outside.cfg").touch()
    place = WORK / "installed"
    environment = outside(place)
    try:
        archive = build(environment)
        look_into(archive)
        install = ["collection", "install", "--offline", "--collections-path", str(place), str(archive)]
        with tempfile.TemporaryDirectory(prefix="steelyard-outside-") as folder:
            run([str(BIN / "ansible-galaxy"), *install], Path(folder), environment)
            use(place / "ansible_collections" / "steelyard" / "stack", Path(folder), environment)
    except Wrong as wrong:
        print(f"collection: {wrong}")
        return 1
    print(f"{archive.name} builds, installs and runs from outside")
    return 0


if __name__ == "__main__":
    sys.exit(main())
