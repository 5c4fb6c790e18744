# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to nft and systemd on this host. The only part of the firewall that does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.firewall import parse
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import TABLE
from ansible_collections.steelyard.stack.plugins.module_utils.host.parse import socket_address

PERSISTED = "/etc/steelyard/firewall.nft"
UNIT = "steelyard-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
ROLLBACK_UNIT = "steelyard-firewall-rollback"
STATE_DIR = "/var/lib/steelyard/firewall"
_ESTABLISHED = "01"
_NFT = "/usr/sbin/nft"

UNIT_TEXT = f"""# Managed by Steelyard (steelyard.stack): what is changed here by hand is overwritten.
[Unit]
Description=Steelyard's packet filter (table inet {TABLE}; other tables are left alone)
Documentation=man:nft(8)
DefaultDependencies=no
# Debian's own nftables.service begins with a flush of every table, so ours is loaded after it.
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={_NFT} -f {PERSISTED}
ExecReload={_NFT} -f {PERSISTED}

[Install]
WantedBy=sysinit.target
"""


class Client:
    """nft and systemd on this host; `state_dir` holds the prepared way back."""

    def __init__(self, state_dir: str = STATE_DIR) -> None:
        self.rollback_file = f"{state_dir}/rollback.nft"

    def read(self) -> tuple[parse.SeenTable | None, str]:
        """Return our table (None: there is none) and why packet filtering is not possible, if so."""
        if not os.path.exists(_NFT):
            return None, ""
        run = self._nft(["-j", "list", "table", "inet", TABLE])
        if run.returncode == 0:
            return parse.table(run.stdout), ""
        if parse.is_forbidden(run.stderr):
            return None, run.stderr.strip().splitlines()[-1]
        if parse.is_missing(run.stderr):
            return None, self._probe()
        raise SteelyardError("nft lists our table", run.stderr.strip(), "run `nft list table inet steelyard`")

    def _probe(self) -> str:
        """A table that does not exist can be asked for without the right to make one: try without doing it."""
        run = self._nft(
            ["-c", "-f", "-"], f"table inet {TABLE} {{ chain input {{ type filter hook input priority 0; }} }}"
        )
        return run.stderr.strip().splitlines()[0] if run.returncode and parse.is_forbidden(run.stderr) else ""

    def require_nft(self) -> None:
        """Raise Refused where nftables is not installed."""
        if not os.path.exists(_NFT):
            raise Refused("nftables is installed", f"no {_NFT}", "run the role base first, or install nftables")

    def load(self, text: str) -> None:
        """Load a text as one transaction; raises SteelyardError with what nft says, and then nothing has changed."""
        run = self._nft(["-f", "-"], text)
        if run.returncode != 0:
            raise SteelyardError("nft accepts the rule set", run.stderr.strip(), "correct the firewall variables")

    def current_text(self) -> str:
        """Return nftables' text that brings the present state of our table back."""
        run = self._nft(["-s", "list", "table", "inet", TABLE])
        listed = run.stdout if run.returncode == 0 else ""
        return f"table inet {TABLE}\ndelete table inet {TABLE}\n{listed}"

    def arm(self, seconds: float, keep: bool = False) -> None:
        """Prepare the way back, and the timer that takes it by itself; before anything is loaded.

        `keep`: a way back that is prepared already stays as it is, and only the timer begins anew.
        """
        place = Path(self.rollback_file)
        if not (keep and place.exists()):
            self._write_way_back(place)
        self._systemctl("reset-failed", f"{ROLLBACK_UNIT}.service", f"{ROLLBACK_UNIT}.timer", may_fail=True)
        argv = [
            "systemd-run",
            f"--unit={ROLLBACK_UNIT}",
            f"--on-active={seconds:g}s",
            "--timer-property=AccuracySec=100ms",
        ]
        argv += ["--description=Takes a firewall rule set back that nobody confirmed", _NFT, "-f", self.rollback_file]
        run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=30, check=False)
        if run.returncode != 0:
            said = run.stderr.strip()
            raise SteelyardError("a timer can be armed before the rule set is loaded", said, "see systemctl status")

    def _write_way_back(self, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("w", encoding="utf-8") as stream:
            stream.write(self.current_text())
            stream.flush()
            os.fsync(stream.fileno())

    def armed(self) -> bool:
        """Say whether a rollback still waits for its time."""
        run = self._systemctl("is-active", f"{ROLLBACK_UNIT}.timer", may_fail=True)
        return run.stdout.strip() in ("active", "activating")

    def disarm(self) -> None:
        """Stop the timer, and a rollback that has just begun: nft has then loaded all of it or nothing."""
        self._systemctl("stop", f"{ROLLBACK_UNIT}.timer", f"{ROLLBACK_UNIT}.service", may_fail=True)

    def forget_rollback(self) -> None:
        """Remove the prepared way back."""
        Path(self.rollback_file).unlink(missing_ok=True)

    def persisted(self, text: str) -> bool:
        """Say whether the files for the next boot are as wanted, and the unit that loads them is enabled."""
        with self._files(text) as files:
            unchanged = not files.plan()
        run = self._systemctl("is-enabled", UNIT, may_fail=True)
        return unchanged and run.stdout.strip() == "enabled"

    def anything_persisted(self) -> bool:
        """Say whether files for the next boot exist at all."""
        return os.path.exists(PERSISTED) or os.path.exists(UNIT_FILE)

    def persist(self, text: str) -> None:
        """Write the files for the next boot and enable the unit."""
        with self._files(text) as files:
            if files.plan():
                files.swap()
                files.commit()
        self._systemctl("daemon-reload")
        self._systemctl("enable", UNIT)

    def remove(self) -> None:
        """Remove our table, its unit and its files; other tables are left alone."""
        self.load(f"table inet {TABLE}\ndelete table inet {TABLE}\n")
        self._systemctl("disable", UNIT, may_fail=True)
        with Transaction("firewall", (), (PERSISTED, UNIT_FILE)) as files:
            if files.plan():
                files.swap()
                files.commit()
        self._systemctl("daemon-reload")

    def earlier_connections(self) -> list[str]:
        """Return `peer . peer's port . our port` of the established TCP connections."""
        found = set()
        for name in ("tcp", "tcp6"):
            try:
                lines = Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
            except OSError:
                continue
            for line in lines:
                fields = line.split()
                if fields[3] == _ESTABLISHED:
                    (_own, port), (peer, peer_port) = socket_address(fields[1]), socket_address(fields[2])
                    found.add(f"{peer} . {peer_port} . {port}")
        return sorted(found)

    def _files(self, text: str) -> Transaction:
        wanted = (WantedFile(PERSISTED, text, mode=0o600), WantedFile(UNIT_FILE, UNIT_TEXT))
        return Transaction("firewall", wanted)

    def _nft(self, argv: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_NFT, *argv], input=stdin, capture_output=True, text=True, errors="replace", timeout=30, check=False
        )

    def _systemctl(self, *argv: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            ["systemctl", *argv], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
        if run.returncode != 0 and not may_fail:
            raise SteelyardError(f"`systemctl {' '.join(argv)}` succeeds", run.stderr.strip(), "see systemctl status")
        return run
