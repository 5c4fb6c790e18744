"""The parts of a test run: what each runs, what it may cost. tools/run_parts.py runs them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

PYTEST_ARGS = tuple(shlex.split(os.environ.get("PYTEST_ARGS", "")))


@dataclass(frozen=True)
class Part:
    """One part: `budget` is what it should take, `limit` when it is ended, both in seconds."""

    name: str
    what: str
    argv: tuple[str, ...]
    budget: int
    limit: int
    env: Mapping[str, str] = field(default_factory=dict)


def python(*words: str) -> tuple[str, ...]:
    """A command line for the environment's own interpreter."""
    return (sys.executable, *words)


def pytest(*words: str) -> tuple[str, ...]:
    """A command line for pytest, with what PYTEST_ARGS adds."""
    return (sys.executable, "-m", "pytest", "-q", *words, *PYTEST_ARGS)


def integration(marker: str) -> tuple[str, ...]:
    """The tests in the lab that carry this marker; one of them may take ten minutes."""
    return pytest("tests/integration", "-m", marker, "-o", "timeout=900")


MOLECULE = python("tools/molecule.py")
SERVERS = pytest("tests/servers", "-n", "2", "-o", "timeout=600")
BENCH = pytest("tests/bench", "--ignore", "tests/bench/redis", "-s", "-o", "timeout=1800")
BENCH_REDIS = pytest("tests/bench/redis", "-s", "-o", "timeout=1800")

PARTS: tuple[Part, ...] = (
    Part(
        "format",
        "Python files are formatted",
        python("-m", "ruff", "format", "--check", "--quiet", "--output-format=concise", "."),
        5,
        60,
    ),
    Part("ruff", "ruff's rules", python("-m", "ruff", "check", "--output-format=concise", "."), 5, 60),
    Part("types", "mypy, strict", python("tools/typecheck.py"), 45, 300),
    Part("yaml", "yamllint", python("-m", "yamllint", "--strict", "."), 15, 120),
    Part("ansible-lint", "ansible-lint, profile production", python("tools/lint_ansible.py"), 60, 600),
    Part("shell", "shellcheck", python("tools/lint_shell.py"), 5, 60),
    Part("docs", "pages agree with specs and module documentation", python("tools/docs.py", "--check"), 15, 120),
    Part("unit", "unit and property tests", pytest("tests/unit", "-n", "2", "--dist", "worksteal"), 150, 900),
    Part(
        "properties",
        "property tests, random examples",
        pytest("tests/unit", "-m", "hypothesis", "-n", "2", "-o", "timeout=1800"),
        600,
        3600,
        {"STEELYARD_EXAMPLES": os.environ.get("STEELYARD_EXAMPLES") or "1000"},
    ),
    Part("example", "the example application's own tests", python("tools/test_example.py"), 60, 600),
    Part("sanity", "ansible-test sanity, when plugins changed", python("tools/sanity.py"), 150, 900),
    Part("sanity-always", "ansible-test sanity", python("tools/sanity.py", "--always"), 150, 900),
    Part(
        "collection", "the archive builds, installs and runs from outside", python("tools/check_collection.py"), 30, 300
    ),
    Part("molecule", "each role on shared machines", MOLECULE, 240, 1500),
    Part("molecule-debian12", "the same on Debian 12", MOLECULE, 300, 1800, {"STEELYARD_LAB_OS": "bookworm"}),
    Part("integration", "one fleet in the lab", integration("core"), 700, 2700),
    Part("integration-all", "the whole of the lab tests", integration("not faults"), 1200, 5400),
    Part("faults", "kills and cuts at every step", integration("faults"), 3600, 14400),
    Part("servers", "the engine of Redis Cluster on real servers", SERVERS, 90, 900, {"STEELYARD_REQUIRE_REDIS": "1"}),
    Part("bench", "measurements", BENCH, 900, 3600),
    Part("bench-redis", "measurements of Redis", BENCH_REDIS, 600, 3600, {"STEELYARD_REQUIRE_REDIS": "1"}),
)

LINT = ("format", "ruff", "types", "yaml", "ansible-lint", "shell", "docs")
SUITES: Mapping[str, tuple[str, ...]] = {
    "lint": LINT,
    "quick": ("format", "ruff", "types", "yaml", "docs", "unit", "example"),
    "test": (*LINT, "unit", "example", "sanity", "collection", "molecule", "integration"),
    "all": (
        *LINT,
        "unit",
        "properties",
        "example",
        "sanity-always",
        "collection",
        "molecule",
        "molecule-debian12",
        "servers",
        "integration-all",
        "faults",
        "bench",
    ),
    "molecule": ("molecule",),
    "faults": ("faults",),
    "bench": ("bench",),
    "bench-redis": ("bench-redis",),
}
