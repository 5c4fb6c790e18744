"""Real load from a real generator (hey, from the distribution), and its count of failed requests."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Report:
    """What the generator counted; filled when the load ends."""

    codes: dict[int, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    p99: float = 0.0
    text: str = ""

    @property
    def total(self) -> int:
        """Answered requests and errors."""
        return sum(self.codes.values()) + len(self.errors)

    @property
    def failed(self) -> int:
        """Requests that were not answered with a 2xx."""
        return len(self.errors) + sum(n for code, n in self.codes.items() if not 200 <= code < 300)


def read_report(text: str, report: Report) -> Report:
    """Fill a report from hey's summary; raises ValueError when the summary is not there."""
    if "Status code distribution" not in text and "Error distribution" not in text:
        raise ValueError(f"not a summary of hey:\n{text}")
    report.text = text
    report.codes = {int(c): int(n) for c, n in re.findall(r"^\s*\[(\d{3})\]\s+(\d+) responses", text, re.M)}
    errors = text.partition("Error distribution:")[2]
    for count, message in re.findall(r"^\s*\[(\d+)\]\s+(.+)$", errors, re.M):
        report.errors += [message.strip()] * int(count)
    p99 = re.search(r"99% in ([0-9.]+) secs", text)
    report.p99 = float(p99.group(1)) if p99 else 0.0
    return report


@contextmanager
def load(url: str, clients: int = 4, rate: int = 20, keepalive: bool = True, limit: int = 300) -> Iterator[Report]:
    """Send `clients` × `rate` requests a second at `url` while the block runs; never longer than `limit` seconds."""
    words = ["hey", "-z", f"{limit}s", "-c", str(clients), "-q", str(rate), "-t", "15"]
    words += [] if keepalive else ["-disable-keepalive"]
    report = Report()
    with subprocess.Popen([*words, url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield report
        finally:
            process.send_signal(signal.SIGINT)
            text, _ = process.communicate(timeout=30)
    read_report(text, report)
