"""A small client of the host's HTTP and websocket API, for tests."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class PromptRejectedError(Exception):
    """The host refused a prompt before running it; `error` and `node_errors` are its answer."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__(json.dumps(answer)[:2000])
        self.error: dict[str, Any] = answer.get("error") or {}
        self.node_errors: dict[str, Any] = answer.get("node_errors") or {}


@dataclass
class Run:
    """What the host said while it executed one prompt."""

    prompt_id: str
    status: str = "running"  # then success, error or interrupted
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # (type, data) as they came
    previews: list[bytes] = field(default_factory=list)  # binary messages as they came
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)  # node id -> its ui output
    seconds: float = 0.0

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The data of every message of one type."""
        return [data for name, data in self.messages if name == kind]

    @property
    def progress(self) -> list[tuple[str, float, float]]:
        """(node id, value, total) of every progress message."""
        return [(data["node"], data["value"], data["max"]) for data in self.of_type("progress")]

    @property
    def executed(self) -> list[str]:
        """Ids of the nodes that really ran, in order; cached ones are not among them."""
        return [data["node"] for data in self.of_type("executing") if data.get("node")]

    @property
    def cached(self) -> list[str]:
        """Ids of the nodes whose result came from the host's cache."""
        return [node for data in self.of_type("execution_cached") for node in data["nodes"]]

    @property
    def error(self) -> dict[str, Any]:
        """The error message of the run: node_id, exception_type, exception_message, traceback; or {}."""
        return next(iter(self.of_type("execution_error")), {})


class HostClient:
    """Talks to one running host at `address` ("127.0.0.1:8188")."""

    def __init__(self, address: str):
        self.address = address
        self.client_id = uuid.uuid4().hex

    def request(self, path: str, body: Any = None, timeout: float = 120.0) -> bytes:
        """GET `path`, or POST `body` as JSON to it; the raw answer. Raises `urllib.error.HTTPError`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.address}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def json(self, path: str, body: Any = None, timeout: float = 120.0) -> Any:
        """The same, decoded; None for an empty answer."""
        answer = self.request(path, body, timeout)
        return json.loads(answer) if answer else None

    def object_info(self, node: str | None = None) -> dict[str, Any]:
        """The host's description of all its nodes, or of one (empty if it does not know it)."""
        return self.json("/object_info" if node is None else f"/object_info/{urllib.parse.quote(node)}")

    def interrupt(self) -> None:
        """Ask the host to stop the running prompt."""
        self.request("/interrupt", {})

    def free(self) -> None:
        """Have the host unload models and forget cached results.

        It does so before or after the first prompt that comes next, so two that hardly do anything follow.
        """
        self.request("/free", {"unload_models": True, "free_memory": True})
        small = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}
        for _ in range(2):
            self.run({"1": small, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})

    def submit(self, prompt: dict[str, Any], client_id: str | None = None) -> str:
        """Queue a prompt in API format without waiting; its id. Raises PromptRejectedError."""
        body = {"prompt": prompt, "client_id": client_id or self.client_id}
        try:
            return self.json("/prompt", body)["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejectedError(json.loads(error.read())) from None

    def run(
        self,
        prompt: dict[str, Any],
        timeout: float = 600.0,
        on_message: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> Run:
        """Queue a prompt in API format and wait until it ended in whatever way.

        `on_message(type, data)` is called for each JSON message of this run as it arrives.
        Raises PromptRejectedError, and TimeoutError after `timeout` seconds.
        """
        import websocket  # only in the host's environment; the module is read outside it too

        client_id = uuid.uuid4().hex
        started = time.monotonic()
        connection = websocket.create_connection(
            f"ws://{self.address}/ws?clientId={client_id}", timeout=60, max_size=None
        )
        try:
            run = Run(self.submit(prompt, client_id))
            while run.status == "running":
                left = started + timeout - time.monotonic()
                if left <= 0:
                    last = run.messages[-3:]
                    raise TimeoutError(f"prompt {run.prompt_id} still runs after {timeout} s: {last}")
                connection.settimeout(left)
                try:
                    message = connection.recv()
                except websocket.WebSocketTimeoutException:
                    continue
                if isinstance(message, bytes):
                    run.previews.append(message)
                    continue
                decoded = json.loads(message)
                kind, data = decoded["type"], decoded["data"]
                if data.get("prompt_id", run.prompt_id) != run.prompt_id:
                    continue
                run.messages.append((kind, data))
                if on_message is not None:
                    on_message(kind, data)
                if kind in ("execution_success", "execution_error", "execution_interrupted"):
                    run.status = kind.removeprefix("execution_")
        finally:
            connection.close()
        run.seconds = time.monotonic() - started
        run.outputs = self.history(run.prompt_id).get("outputs", {})
        return run

    def history(self, prompt_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """The host's record of a finished prompt; it is written shortly after the last message."""
        end = time.monotonic() + timeout
        while True:
            record = self.json(f"/history/{prompt_id}").get(prompt_id)
            if record is not None:
                return record
            if time.monotonic() > end:
                raise TimeoutError(f"the host has no history of prompt {prompt_id}")
            time.sleep(0.05)

    def fetch(self, file: dict[str, str]) -> bytes:
        """The content of a file a ui output names: {"filename", "subfolder", "type"}."""
        return self.request("/view?" + urllib.parse.urlencode(file))
