"""The server routes of the interactive panel, and the one for what nodes showed earlier.

Frames are drawn one at a time beside the event loop. Of several wishes of one panel only the newest is drawn, so
that dragging a slider never queues up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

from aiohttp import web

from ..reenact_core.errors import ReenactError
from . import earlier
from .panel import RUNS, GoneError, choices, draw, read_wish

log = logging.getLogger(__name__)

MOST_BYTES = 16 << 10  # of a request
ABOUT = "X-Reenact-Frame"  # header with the shares of the references and the time that drawing took

Result = TypeVar("Result")


class SupersededError(Exception):
    """A newer request of the same panel came before this one's turn."""


class NewestOnly:
    """One worker; of the calls of one caller that wait for it, only the newest is done."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._tickets = count()
        self._newest: dict[str, int] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reenact-panel")

    async def call(self, caller: str, work: Callable[[], Result]) -> Result:
        """What `work` returns, done in the worker.

        Raises:
            SupersededError: the same caller has called again meanwhile.
        """
        ticket = self._newest[caller] = next(self._tickets)
        async with self._turn:
            if self._newest[caller] != ticket:
                raise SupersededError
            try:
                return await asyncio.get_running_loop().run_in_executor(self._worker, work)
            finally:
                if self._newest[caller] == ticket:
                    del self._newest[caller]


def register() -> None:
    """Add the routes to the running server; without one there is no panel."""
    try:
        from server import PromptServer  # only a running host has one
    except ImportError:
        return
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        add_routes(server.routes)


def add_routes(routes: web.RouteTableDef) -> None:
    """Declare the routes."""
    queue = NewestOnly()

    @routes.get("/reenact/panel/choices")
    async def choices_route(request: web.Request) -> web.Response:
        return web.json_response(choices())

    @routes.get("/reenact/shown/{node}")
    async def shown_route(request: web.Request) -> web.Response:
        return web.json_response(earlier.shown(request.match_info["node"]))

    @routes.post("/reenact/panel/frame")
    async def frame_route(request: web.Request) -> web.Response:
        if request.content_length is None or request.content_length > MOST_BYTES:
            return _error(413, f"The request must be at most {MOST_BYTES} bytes.")
        try:
            wish = read_wish(await request.json())
            run, memo = RUNS.find(wish.node, wish.token)
            drawn, seconds = await queue.call(wish.token, lambda: timed(lambda: draw(wish, run, memo)))
        except ValueError as error:
            if isinstance(error, GoneError):
                return _error(410, str(error))
            return _error(400, str(error) if isinstance(error, ReenactError) else "The request is no valid JSON.")
        except SupersededError:
            return _error(409, "A newer request took the place of this one.")
        except Exception:
            log.exception("A frame for the panel could not be drawn.")
            return _error(500, "The frame could not be drawn. The server's log says why.")
        about = {"shares": drawn.shares, "ms": round(1000 * seconds)}
        headers = {ABOUT: json.dumps(about), "Cache-Control": "no-store"}
        return web.Response(body=drawn.picture, content_type="image/jpeg", headers=headers)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What `work` returns, and the seconds it took once its turn had come."""
    started = time.monotonic()
    return work(), time.monotonic() - started


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
