# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: wanted
short_description: What the inventory wants of a service on this host
version_added: "0.1.0"
author: The Steelyard authors (!UNKNOWN)
description:
  - Returns the wanted state of one service on the current host, made from the variables of the whole inventory, ready
    to be handed to that service's module.
  - A name of C(app_instances) returns the application instances of the host, as a list. They contain secrets.
  - A name of C(nginx_pools) returns the pools with their members, as a list.
  - A name of C(services) returns the services that the inventory places on the host, as a list; C(base) is one of them.
  - A name of C(nginx_state) returns whether the balancer is C(present), in C(maintenance) or C(leaving).
  - A name of C(excused_hosts) returns the names of all hosts that need not answer, because the inventory says of the
    whole host, or of every service on it, that it leaves or is in maintenance.
  - A name of C(leaving_hosts) returns the names of all hosts whose applications leave, as a list.
  - A name of C(peer_names) returns the names that the host must be able to look up, as a list; hosts that state an
    IP address are not in it.
  - Names of C(redis_instances) and C(redis_sentinels) return the Redis servers and Sentinels of the host, as lists;
    C(redis_clusters) all clusters of the inventory, as a list; C(redis_secrets) what the host needs of their passwords
    and certificates, by cluster; C(redis_asks) the clusters for which the host asks around, each with the hosts that may
    speak for it; C(redis_leases) the names of those whose lease the host keeps.
  - A name of C(leaving) returns the services that leave the host, wholly or in part, as a list.
  - A name of C(client_environment) returns the pinned Python packages that cluster modules need on the host.
  - A name of C(sysctls) returns the kernel settings that the services of the host need.
  - Only variables of hosts that the answer rests on are read.
options:
  _terms:
    description: What is asked for; several names return as many answers.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the members of every pool
  ansible.builtin.debug:
    msg: "{{ lookup('steelyard.stack.wanted', 'nginx_pools') }}"

- name: Show where the applications of this host listen
  ansible.builtin.debug:
    msg: "{{ lookup('steelyard.stack.wanted', 'app_instances') | map(attribute='port') }}"
"""

RETURN = r"""
_raw:
  description: The wanted state, one for each name that was asked for.
  type: list
  elements: raw
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import fleet_from_vars, plain


class LookupModule(LookupBase):
    """Hands the pure models the inventory."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return one wanted state for each name; raises AnsibleError with every problem of the inventory."""
        self.set_options(var_options=variables, direct=kwargs)
        if variables is None:
            raise AnsibleError("steelyard.stack.wanted needs the variables of a host.")
        try:
            fleet = fleet_from_vars(variables)
            host = fleet.host(plain(variables["inventory_hostname"]))
            return [services.wanted(plain(term), fleet, host) for term in terms]
        except SteelyardError as error:
            raise AnsibleError(str(error)) from error
