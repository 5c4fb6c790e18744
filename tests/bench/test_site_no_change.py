"""What a run of site.yml costs when nothing is to be done: seconds a host and module executions a host."""

from __future__ import annotations

import statistics

import pytest
from support.rehearsal import Rehearsal

pytestmark = pytest.mark.slow
RUNS = 5


def test_no_change_run_of_site(market: Rehearsal) -> None:
    runs = [market.play("site").ok() for _ in range(RUNS)]
    assert all(run.changed == {} for run in runs)
    hosts = runs[0].stats
    seconds = statistics.median(run.seconds for run in runs)
    print(f"\nsite.yml without a change, {len(hosts)} hosts, {RUNS} runs: median {seconds:.1f} s")
    print(f"  {seconds / len(hosts):.2f} s a host")
    print("  module executions a host: " + ", ".join(f"{host} {runs[0].modules[host]}" for host in sorted(hosts)))
    assert all(runs[0].modules[host] <= 12 for host in hosts), "the cost model of docs/architecture.md is broken"
