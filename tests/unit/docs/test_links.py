"""What the pages point at is there: files, headings, make targets, playbooks, verbs and variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from steelyard.lab import tasks

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("inventories/*/README.md")])
WRITTEN = [page for page in PAGES if page.parent not in (ROOT / "docs/modules", ROOT / "docs/roles")]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^ *```.*?^ *```")
TARGET = re.compile(r"\bmake ((?:[a-z-]+)(?:(?= )|$|(?=[`.,;)])))", re.M)
# Variables of an application that a page uses as its example.
OWN = {"app_owner"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_written = pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as web pages of repositories make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code(page: Path) -> str:
    """Everything of a page that is set as code."""
    text = page.read_text()
    return "\n".join([*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])


def test_pages_are_found() -> None:
    """What is parametrized below would pass on nothing."""
    assert {page.name for page in WRITTEN} >= {"README.md", "inventory.md", "scaling.md", "troubleshooting.md"}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files that are there, and headings that they have."""
    wrong = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _hash, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@each_written
def test_make_targets_exist(page: Path) -> None:
    """Each `make TARGET` is one of the Makefile's."""
    known = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    assert {t for t in TARGET.findall(code(page)) if t} - known == set()


@each_written
def test_playbooks_and_verbs_exist(page: Path) -> None:
    """Each playbook is there, and each verb of the lab."""
    playbooks = set(re.findall(r"playbooks/([a-z_]+\.yml)", code(page)))
    assert [name for name in sorted(playbooks) if not (ROOT / "playbooks" / name).is_file()] == []
    verbs = set(re.findall(r"(?m)steelyard lab ([a-z]+)\b", code(page)))
    assert verbs - set(tasks.namespace.task_names) == set()


@each_written
def test_variables_exist(page: Path) -> None:
    """Each variable with a role's prefix is one that a role declares."""
    declared = set(OWN)
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text())["argument_specs"].values():
            declared |= set(spec.get("options") or {})
    used = set(
        re.findall(
            r"(?m)(?<![\w./{-])((?:app|nginx|base|firewall|steelyard)_[a-z_0-9]+)(?=: |`|: ?$)", page.read_text()
        )
    )
    # Also names of modules, lookups' answers, filters and scenarios.
    names = {p.stem for p in ROOT.glob("plugins/*/*")} | {p.parent.name for p in ROOT.glob("molecule/*/molecule.yml")}
    names |= {"app_instances", "nginx_pools", "nginx_state"}
    assert used - declared - names == set()
