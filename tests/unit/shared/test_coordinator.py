"""Who speaks for a cluster: case by case. `asked` is what each host answered; `chosen`, or why it is `refused`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.coordinator import choose
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "coordinator"))
def test_case(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(Refused, match=case["refused"]):
            choose("redis sessions", case["candidates"], case["asked"])
        return
    choice = choose("redis sessions", case["candidates"], case["asked"])
    assert {"host": choice.host, "answers": bool(choice.seen), "exists": choice.knows} == case["chosen"]
