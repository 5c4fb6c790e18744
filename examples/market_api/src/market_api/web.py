# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API and the worker share: health, identity, metrics, the token, answers to bad input."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from market_api import __version__
from market_api.lifecycle import READY, CloseWhileDraining
from market_api.metrics import CONTENT_TYPE, MetricsMiddleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from market_api.lifecycle import Lifecycle
    from market_api.metrics import Metrics
    from market_api.settings import Settings

MAX_BODY = 256 * 1024


def refusal(status: int, rule: str, seen: str, remedy: str) -> HTTPException:
    """Return the error that answers a request with what is wrong and what to do."""
    return HTTPException(status, json.dumps({"rule": rule, "seen": seen, "remedy": remedy}))


async def answer_error(_request: Request, error: Exception) -> Response:
    """Every error is JSON: rule, seen, remedy where we know them, else the bare reason."""
    if not isinstance(error, HTTPException):
        raise error
    try:
        detail = json.loads(error.detail)
    except ValueError:
        detail = {"rule": error.detail}
    return JSONResponse({"error": detail}, error.status_code, headers=error.headers)


def require_token(request: Request, settings: Settings) -> None:
    """Refuse the request unless it carries the bearer token; compared in constant time."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), settings.token.encode())
    if scheme.lower() != "bearer" or not matches:
        error = refusal(401, "a valid bearer token is required", "", "send it as Authorization: Bearer <token>")
        error.headers = {"www-authenticate": "Bearer"}
        raise error


async def read_json(request: Request) -> Any:
    """Return the body's JSON; refuses bodies above MAX_BODY while they arrive, and what is not JSON."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise refusal(413, f"a body has at most {MAX_BODY} bytes", f"more than {MAX_BODY}", "send several")
    except ClientDisconnect:
        raise refusal(400, "the body is complete", f"{len(body)} bytes", "send it again") from None
    try:
        return json.loads(body)
    except ValueError as err:
        raise refusal(400, "the body is JSON", str(err), "check the quotes and commas") from None


def common_middleware(metrics: Metrics, lifecycle: Lifecycle) -> list[Middleware]:
    """Return what stands before every route, outermost first."""
    return [
        Middleware(MetricsMiddleware, metrics=metrics),
        Middleware(CloseWhileDraining, lifecycle=lifecycle),
    ]


def common_routes(
    settings: Settings, lifecycle: Lifecycle, metrics: Metrics, state: Callable[[], dict[str, Any]]
) -> list[Route]:
    """Return /healthz, /readyz, /whoami and /metrics; `state` adds what this kind of process has to say of itself."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> Response:
        ready = lifecycle.phase == READY
        return JSONResponse({"ready": ready, "phase": lifecycle.phase, **state()}, 200 if ready else 503)

    async def whoami(request: Request) -> Response:
        _, port = request.scope.get("server") or ("", None)
        return JSONResponse(
            {
                "host": settings.host,
                "port": port,
                "instance": f"{settings.host}:{port}",
                "version": __version__,
                "release": settings.release,
                "config": settings.config,
                # What the balancer in front says about the client; see forwarded_allow_ips in __main__.
                "client": request.client.host if request.client else None,
                "scheme": request.url.scheme,
                "requested": request.headers.get("host", ""),
            }
        )

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    handlers: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/whoami": whoami,
        "/metrics": show_metrics,
    }
    return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]
