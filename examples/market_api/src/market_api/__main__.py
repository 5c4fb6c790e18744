# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python -m market_api api|worker --host ADDRESS --port PORT`: run a process behind a balancer, settings checked."""

from __future__ import annotations

import argparse

import uvicorn

from market_api.startup import settings_or_exit

APPLICATIONS = {"api": "market_api.main:app", "worker": "market_api.worker:app"}

# A balancer keeps idle connections for 60 s (nginx: keepalive_timeout of an upstream). We keep them for longer:
# whoever closes first should be the side that sends requests, or a request meets a connection just closed.
KEEP_ALIVE = 75


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="market_api", description=__doc__)
    parser.add_argument("kind", choices=sorted(APPLICATIONS))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port (default: %(default)s)")
    parser.add_argument(
        "--finish", type=int, default=15, metavar="SECONDS", help="for requests under way at a stop (default: 15)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.workers < 1:
        parser.error("--workers is 1 or more")
    settings = settings_or_exit()  # here too, so that a bad one is said once and not by every worker process
    uvicorn.run(
        APPLICATIONS[chosen.kind],
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        http="h11",
        ws="wsproto",
        ws_max_size=64 * 1024,
        access_log=False,  # the balancer in front writes one
        log_level=settings.log_level,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=chosen.finish,
        # Who the client is, is believed of any peer: only balancers may connect (the firewall's allow_from).
        proxy_headers=True,
        forwarded_allow_ips="*",
        server_header=False,
    )


if __name__ == "__main__":
    main()
