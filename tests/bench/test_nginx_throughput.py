"""nginx as the role tunes it, beside nginx with Debian's default configuration: same machine, same members, one run."""

from __future__ import annotations

import re
import statistics
import subprocess
from dataclasses import dataclass

import pytest
from support.rehearsal import Rehearsal

pytestmark = pytest.mark.slow
ROUNDS, SECONDS, CLIENTS = 3, 10, 64
STOCK_PORT = 8081
STOCK = f"""
set -e
mkdir -p /root/stock && cd /root/stock
apt-get update -qq && apt-get download -qq nginx-common && dpkg-deb -x nginx-common_*.deb .
cd etc/nginx
sed -i 's#/etc/nginx/#/root/stock/etc/nginx/#g; s#/run/nginx.pid#/run/stock.pid#; s#/var/log/nginx/#/var/log/nginx/stock-#' \
    nginx.conf
rm -f sites-enabled/* modules-enabled/*
cat > sites-enabled/market <<'END'
upstream stock {{ MEMBERS }}
server {{ listen {STOCK_PORT}; location / {{ proxy_pass http://stock; }} }}
END
nginx -c /root/stock/etc/nginx/nginx.conf
"""


@dataclass(frozen=True)
class Figures:
    """What wrk counted in one round."""

    rate: float
    p99: float
    errors: str


def wrk(url: str) -> Figures:
    """Load `url` for a few seconds; p99 in milliseconds."""
    words = ["wrk", "-t2", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency", url]
    text = subprocess.run(words, capture_output=True, text=True, check=True, timeout=SECONDS + 30).stdout
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", text).group(1))
    number, unit = re.search(r"99%\s+([0-9.]+)(us|ms|s)", text).groups()
    errors = " ".join(re.findall(r"(?:Socket errors|Non-2xx).*", text))
    return Figures(rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit], errors)


def test_tuned_beside_default(market: Rehearsal) -> None:
    address = market.address("lb1")
    members = " ".join(f"server {market.address(h)}:8000;" for h in ("api1", "api2"))
    market.shell("lb1", STOCK.replace("MEMBERS", members))
    try:
        urls = {"steelyard": f"http://{address}/healthz", "default": f"http://{address}:{STOCK_PORT}/healthz"}
        for url in urls.values():
            wrk(url)
        figures = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                figures[name].append(wrk(url))
    finally:
        market.shell("lb1", "kill $(cat /run/stock.pid); rm -rf /root/stock")
    print(f"\nnginx before two Python members, {CLIENTS} clients, {ROUNDS} rounds of {SECONDS} s in turn, medians:")
    for name, rounds in figures.items():
        rate = statistics.median(f.rate for f in rounds)
        p99 = statistics.median(f.p99 for f in rounds)
        wrong = "; ".join(f.errors for f in rounds if f.errors) or "none"
        print(f"  {name:<10} {rate:8.0f} requests/s  p99 {p99:6.1f} ms  errors: {wrong}")
    assert not any(f.errors for f in figures["steelyard"])
