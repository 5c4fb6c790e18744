# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions over HTTP, for a front end that keeps those of its users here; all of it needs the token."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from market_api.backing import Away
from market_api.sessions import SessionsFull
from market_api.web import read_json, refusal, require_token

if TYPE_CHECKING:
    from starlette.requests import Request

    from market_api.sessions import Session, Sessions
    from market_api.settings import Settings

MAX_DATA = 4096  # bytes of JSON
NAME = re.compile(r"[A-Za-z0-9_-]{43}")
RETRY_AFTER = "1"  # seconds

Handler = Callable[["Request"], Awaitable[Response]]


class SessionApi:
    """/sessions of one process."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings, self._sessions = settings, sessions

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = "/sessions/{name}"
        return [
            Route("/sessions", self._guarded(self.create), methods=["POST"]),
            Route(one, self._guarded(self.read), methods=["GET"]),
            Route(one, self._guarded(self.delete), methods=["DELETE"]),
            Route(f"{one}/touch", self._guarded(self.touch), methods=["POST"]),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            require_token(request, self._settings)
            try:
                return await handler(request)
            except Away as err:
                error = refusal(503, "sessions can be reached", err.reason, "send it again")
                error.headers = {"retry-after": RETRY_AFTER}
                raise error from None

        return handle

    async def create(self, request: Request) -> Response:
        """POST /sessions: {"data": {…}}; answers its name and how long it lives untouched."""
        body = await read_json(request)
        data = body.get("data", {}) if isinstance(body, dict) else None
        if not isinstance(data, dict) or len(json.dumps(data).encode()) > MAX_DATA:
            rule = f"a session's data is an object of at most {MAX_DATA} bytes"
            raise refusal(422, rule, repr(body)[:80], 'send {"data": {"user": "anna"}}')
        try:
            return self._answer(await self._sessions.create(data), 201)
        except SessionsFull as err:
            raise refusal(507, str(err), "one more", "raise MARKET_MAX_SESSIONS, or use Redis") from None

    async def read(self, request: Request) -> Response:
        """GET /sessions/NAME: it lives no longer for that."""
        return self._answer(await self._sessions.read(_name(request)))

    async def touch(self, request: Request) -> Response:
        """POST /sessions/NAME/touch: its lifetime begins anew."""
        return self._answer(await self._sessions.touch(_name(request)))

    async def delete(self, request: Request) -> Response:
        """DELETE /sessions/NAME: it is gone, also if it was before."""
        await self._sessions.delete(_name(request))
        return Response(status_code=204)

    def _answer(self, session: Session | None, status: int = 200) -> Response:
        if session is None:
            raise refusal(404, "the session is there", "none of this name", "it may have ended: create another")
        body: dict[str, Any] = {
            "name": session.name,
            "data": session.data,
            "lifetime": self._sessions.lifetime(session.name),
        }
        return JSONResponse(body, status)


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise refusal(404, "the session is there", "no name of a session", "use the name that creating one answered")
    return name
