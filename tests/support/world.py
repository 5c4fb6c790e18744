"""A whole simulated fleet: balancers, instances and firewalls, scaled by the plays of scale.yml in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from support.app_hosts import app_class, converged, simulate

from ansible_collections.steelyard.stack.plugins.module_utils import scale, services
from ansible_collections.steelyard.stack.plugins.module_utils.app import model as app
from ansible_collections.steelyard.stack.plugins.module_utils.app import plan as app_plan
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.firewall import plan as firewall_plan
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import EARLIER, Table
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.parse import SeenTable
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model as nginx
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import plan as nginx_plan
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan

CLASSES = {
    "api": app_class(allow_from=["load_balancers"]),
    "workers": app_class(ports=[9000], allow_from=["api"]),
}
EVERYWHERE: dict[str, Any] = {
    "steelyard_control_networks": ["192.0.2.0/24"],
    "app_classes": CLASSES,
    "nginx_pools": {"api": {"class": "api"}},
    "nginx_sites": {"market": {"listen": [80], "pool": "api"}},
    "redis_clusters": {
        "sessions": {
            "mode": "cluster", "ports": [7000], "replicas": 0, "admin_password": "a" * 32,
            "replication_password": "b" * 32,
        }
    },
}  # fmt: skip
GROUP_OF = {"lb": "load_balancers", "api": "api", "worker": "workers", "redis": "redis"}


def make_fleet(more: Mapping[str, Mapping[str, Any]] | None = None, /, **hosts: str) -> Fleet:
    """Return a fleet of hosts like `api1`, each with its state and `more` variables; the name says the group."""
    found = []
    for number, (name, state) in enumerate(hosts.items(), 10):
        own = {
            "ansible_host": f"192.0.2.{number}",
            **EVERYWHERE,
            "steelyard_state": state,
            **(more or {}).get(name, {}),
        }
        found.append(Host(name, frozenset({"all", GROUP_OF[name.rstrip("0123456789")]}), own))
    return Fleet(tuple(found))


@dataclass
class World:
    """What the machines of a fleet are like: lines of balancers, instances, firewalls (None: no table yet)."""

    fleet: Fleet
    balancers: dict[str, Balancer]
    apps: dict[str, Seen]
    tables: dict[str, SeenTable | None]

    def members(self) -> set[str]:
        """The application hosts that some balancer has a line for."""
        by_address = {h.address: h.name for h in self.fleet.hosts}
        return {by_address[s.address] for b in self.balancers.values() for s in b.pools["api"].servers}

    def runs(self, host: str) -> bool:
        """Whether all that is placed on a host runs and is ready."""
        wanted = app.instances_of(self.fleet, self.fleet.host(host))
        seen = self.apps[host].instances
        return all(i.port in seen and seen[i.port].running and seen[i.port].ready for i in wanted)

    def lets_in(self, host: str, peer: str) -> bool:
        """Whether the firewall of `host` has the address of `peer` in a set."""
        table = self.tables[host]
        return table is None or any(
            self.fleet.host(peer).address in elements for _kind, elements in table.sets.values()
        )

    def pool_plan(self) -> Plan:
        """What every balancer registers."""
        return nginx_plan.make_plan(nginx.wanted_pools(self.fleet), list(self.balancers.values()))

    def look(self) -> scale.Answers:
        """Read the machines that a plan needs, and no others."""
        pools = self.pool_plan()
        names = scale.hosts_to_look_at(self.fleet, [pools])
        return scale.Answers(
            pools=(pools,),
            app={n: app_plan.make_plan(self.apps[n], self.wish(n, remove=True)) for n in names if n in self.apps},
            firewall={n: self.firewall_plan(n) for n in names},
            balancers=tuple(n for n in self.balancers if self.fleet.host(n).state_of("nginx") == "present"),
        )

    def wish(self, host: str, remove: bool) -> app_plan.Wish:
        """What the application role asks of a host; with `remove` what is not placed there goes."""
        return app_plan.Wish(app.instances_of(self.fleet, self.fleet.host(host)), host=host, remove=remove)

    def lost(self, host: str) -> tuple[int, ...]:
        """The ports of instances that are on a host and that the inventory does not place there."""
        return app_plan.unplaced(self.apps[host], self.wish(host, remove=True))

    def table(self, host: str) -> Table:
        """The wanted firewall of a host."""
        return Table.from_dict(services.wanted("firewall", self.fleet, self.fleet.host(host)))

    def firewall_plan(self, host: str) -> Plan:
        """What the firewall of a host would change, as it is read in check mode."""
        seen = firewall_plan.Seen(self.tables[host], persisted=True)
        return firewall_plan.make_plan(seen, self.table(host), host, firewall_plan.Keep(unknown=True))

    def set_firewalls(self, hosts: Iterable[str], keep: bool) -> None:
        """Apply the firewall on hosts; with `keep` who leaves and is in a set stays there."""
        for host in hosts:
            self.tables[host] = as_seen_table(self.table(host), self.tables[host], keep)

    def apply_apps(self, hosts: Iterable[str], remove: bool = False) -> None:
        """Run the application role on hosts, or with `remove` its removal."""
        for host in hosts:
            wish = self.wish(host, remove)
            for step in app_plan.make_plan(self.apps[host], wish).steps:
                self.apps[host] = simulate(self.apps[host], wish, step)

    def balance(self, plan: Plan, phase: str) -> None:
        """Do one phase on every balancer."""
        steps = nginx_plan.in_phases(plan.steps, phase)
        self.balancers = {n: nginx_plan.after_steps(b, steps) for n, b in self.balancers.items()}


def as_seen_table(wanted: Table, seen: SeenTable | None, keep: bool) -> SeenTable:
    """Return the kernel's table once the wanted one has been applied over `seen`; with `keep` who leaves stays in it."""
    kept = firewall_plan.Keep(keep, unknown=True)
    sets = {n: (kind, tuple(e)) for n, (kind, e) in firewall_plan.effective_sets(seen, wanted, kept).items()}
    sets |= {name: (f"{kind} . inet_service . inet_service", ()) for name, kind in EARLIER.items()}
    return SeenTable(tuple(rule.comment for rule in wanted.rules), sets, firewall_plan.CHAINS)


def settled(fleet: Fleet, host: str, **variables: Any) -> Seen:
    """Return the applications of a host on which nothing is left to do, were it present and had these variables."""
    one = fleet.host(host)
    stays = Host(one.name, one.groups, {**one.vars, "steelyard_state": "present", **variables})
    return converged(app.instances_of(fleet, stays), app.Slice())
