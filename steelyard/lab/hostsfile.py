# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-ins' /etc/hosts: inventory names resolve both ways in the whole lab. Pure.

Docker's own resolver answers a reverse query with the container's name and not with the host's, so names
are written down as on machines without a name server. Lines that others wrote there stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

BEGIN = "# BEGIN steelyard lab"
END = "# END steelyard lab"


def hosts_file(existing: str, addresses: Mapping[str, IPv4Address]) -> str:
    """Return the file's new content: what others wrote, and one block with every host of the lab."""
    ours = {str(address) for address in addresses.values()}
    kept: list[str] = []
    inside = False
    for line in existing.splitlines():
        if line.strip() == BEGIN:
            inside = True
        elif line.strip() == END:
            inside = False
        elif not inside and line.split()[:1] and line.split()[0] in ours:
            continue  # Docker's own line for this host: the block says it too, and an address twice confuses
        elif not inside:
            kept.append(line)
    block = [f"{address}\t{_names(name)}" for name, address in sorted(addresses.items(), key=lambda item: item[1])]
    return "\n".join([*kept, BEGIN, *block, END]) + "\n"


def _names(host: str) -> str:
    short = host.split(".", maxsplit=1)[0]
    return host if short == host or short.isdigit() else f"{host} {short}"
