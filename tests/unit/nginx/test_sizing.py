"""Sizing, by cases; and that no host gets settings that nginx would refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sizing import (
    FILES_BESIDE,
    HostLimits,
    limited_by_files,
    settings,
    size,
)


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "sizing"))
def test_case(case: dict[str, Any]) -> None:
    limits = HostLimits(**case["limits"])
    if "refusal" in case:
        with pytest.raises(Refused) as refused:
            settings(limits, case["overrides"])
        assert case["refusal"] in str(refused.value)
        return
    found = settings(limits, case["overrides"]).as_dict()
    assert {k: found[k] for k in case["settings"]} == case["settings"]
    assert limited_by_files(limits) == case["limited"]


@given(st.integers(1, 256), st.integers(2**25, 2**40), st.integers(1088, 2**20), st.integers(128, 65535))
def test_every_host_can_have_what_it_is_given(cpus: int, memory: int, nofile: int, somaxconn: int) -> None:
    found = size(HostLimits(cpus, memory, nofile, somaxconn))
    assert found.worker_rlimit_nofile <= nofile
    assert found.worker_rlimit_nofile >= 2 * found.worker_connections + FILES_BESIDE
    assert found.worker_processes == cpus
    assert found.backlog <= somaxconn
