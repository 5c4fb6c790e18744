# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who speaks for a cluster in one run: the first host, in the order given, that answers and knows it. Pure.

A service whose members know each other is read and changed from one of them, the *coordinator*. Its hosts are asked one
after the other until one knows the cluster, and the one found stays the coordinator for the whole run: what is temporary
is noted on it. Knows no service: an answer is what a module's `read` returned, with `clustered`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused

NO_CLIENT = "the coordinator has the client library"
"""The rule of the refusal of a host on which nothing was installed yet."""


@dataclass(frozen=True)
class Choice:
    """The coordinator, and what it read; nothing where no member lives yet, so that the inventory alone is known."""

    host: str
    seen: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def knows(self) -> bool:
        """Whether there is a cluster."""
        return bool(self.seen.get("clustered"))


def choose(cluster: str, candidates: Sequence[str], answers: Mapping[str, Mapping[str, Any]]) -> Choice:
    """Return who coordinates; raises Refused where somebody answered with an error, and nobody knows the cluster.

    `answers` are those of the hosts that were asked; the others need not be. Who does not answer, and where nothing is
    installed yet, is passed over. A cluster that nobody knows is to be created: from the first that answers.
    """
    if not candidates:
        raise Refused("a cluster has a host that stays", "none", "add hosts, or take one back from leaving", cluster)
    read = {h: answers[h] for h in candidates if "clustered" in answers.get(h, {})}
    for host, answer in read.items():
        if answer["clustered"]:
            return Choice(host, answer)
    errors = {h: answers[h] for h in candidates if _failed(answers.get(h, {}))}
    if errors:
        rule, remedy = "a host that answers can say who is a member", "correct its cause and run again"
        raise Refused.of(Problem(f"{cluster} on {h}", rule, str(a.get("msg", "")), remedy) for h, a in errors.items())
    if read:
        return Choice(*next(iter(read.items())))
    reachable = [h for h in candidates if h in answers and not answers[h].get("unreachable")]
    return Choice((reachable or candidates)[0])


def _failed(answer: Mapping[str, Any]) -> bool:
    if answer.get("unreachable") or not answer.get("failed"):
        return False
    return NO_CLIENT not in {str(p.get("rule")) for p in _problems(answer)}


def _problems(answer: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return answer.get("problems") or ()
