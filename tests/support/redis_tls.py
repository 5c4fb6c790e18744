"""Certificates for servers on loopback, and what a configuration says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.redis_servers import LOOPBACK

from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Tls


def certificates(folder: Path) -> Tls:
    """An authority, and one certificate of it for all: openssl makes them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=tests", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*new, *names, *files], check=True, capture_output=True)
    return Tls(str(folder / "cert.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))


def tls_lines(tls: Tls | None, port: int) -> list[str]:
    """What a configuration says of a port: TLS alone, where there are certificates."""
    if tls is None:
        return [f"port {port}"]
    lines = ["port 0", f"tls-port {port}", "tls-replication yes", "tls-auth-clients optional"]
    paths = {"tls-ca-cert-file": tls.ca, "tls-cert-file": tls.certificate, "tls-key-file": tls.key}
    return [*lines, *(f"{name} {path}" for name, path in paths.items())]
