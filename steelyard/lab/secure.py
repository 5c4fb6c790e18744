# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys, known hosts, persistent connections and SSH sessions of a lab."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

import fabric
import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from steelyard.lab.image import LOGIN_USER

SOCKET_LIMIT = 107  # bytes of a Unix socket's path on Linux, without the end mark
SSH_SUFFIX = 17  # what ssh appends while it makes a control socket
LONGEST_NAME = len("/255.255.255.255")


def write_private(path: Path, content: str) -> bool:
    """Write `content` for the owner alone, atomically; returns whether the file changed."""
    if path.exists() and path.read_text() == content and path.stat().st_mode & 0o777 == 0o600:
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # created with mode 0600
    with os.fdopen(descriptor, "w") as handle:
        handle.write(content)
    os.replace(scratch, path)
    return True


def ensure_key(folder: Path) -> str:
    """Make the lab's key pair in `folder` unless it is there; returns the public key's line."""
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    if private.exists() and public.exists():
        return public.read_text().strip()
    key = Ed25519PrivateKey.generate()
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " steelyard-lab"
    write_private(public, line + "\n")
    return line


def known_hosts(keys: Mapping[IPv4Address, str]) -> str:
    """Return a known_hosts file from each address's host key line (`ssh-ed25519 AAAA… comment`). Pure."""
    return "".join(f"{address} {' '.join(keys[address].split()[:2])}\n" for address in sorted(keys))


def control_directory(overlay: Path) -> Path:
    """Return where the lab's persistent connections are kept: a Unix socket's path has to be short."""
    name = hashlib.sha256(str(overlay).encode()).hexdigest()[:8]
    bases = [Path.home() / ".ansible" / "cp", Path(f"/tmp/steelyard-{os.getuid()}")]  # noqa: S108 - its owner is checked
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        bases.insert(1, Path(runtime) / "steelyard")
    for base in bases:
        if len(os.fsencode(base / name)) + LONGEST_NAME + SSH_SUFFIX <= SOCKET_LIMIT:
            break
    return base / name


def make_control_directory(folder: Path) -> None:
    """Make that folder, for its owner alone; raises SteelyardError when another user has made it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (folder, folder.parent):
        if path.stat().st_uid != os.getuid():
            raise SteelyardError("connections are kept in a folder of one's own", str(path), "remove that folder")


def close_connections(folder: Path, addresses: Iterable[IPv4Address] | None = None) -> int:
    """End the persistent connections to `addresses` (all when None); returns how many there were."""
    if not folder.is_dir():
        return 0
    wanted = None if addresses is None else {str(address) for address in addresses}
    closed = 0
    for socket in sorted(folder.iterdir()):
        if wanted is not None and socket.name not in wanted:
            continue
        argv = ["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={socket}", "stand-in"]
        subprocess.run(argv, capture_output=True, check=False, timeout=20)
        socket.unlink(missing_ok=True)
        closed += 1
    return closed


def ssh_options(ssh_folder: Path) -> list[str]:
    """Return ssh's options for a lab: its own known hosts, strictly checked, and nothing of the user's own setup."""
    return [
        "-F none",
        f"-o UserKnownHostsFile={ssh_folder / 'known_hosts'}",
        "-o GlobalKnownHostsFile=none",
        "-o StrictHostKeyChecking=yes",
        "-o IdentitiesOnly=yes",
        "-o PreferredAuthentications=publickey",
    ]


def connect(address: IPv4Address, ssh_folder: Path, timeout: float = 5) -> fabric.Connection:
    """Open an SSH session to a stand-in with the lab's key, its host key strictly checked."""
    connection = fabric.Connection(
        str(address),
        user=LOGIN_USER,
        config=fabric.Config(lazy=True),
        connect_timeout=timeout,
        connect_kwargs={
            "key_filename": str(ssh_folder / "id_ed25519"),
            "look_for_keys": False,
            "allow_agent": False,
            "banner_timeout": timeout,
            "auth_timeout": timeout,
        },
    )
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    connection.client.load_host_keys(str(ssh_folder / "known_hosts"))
    return connection
