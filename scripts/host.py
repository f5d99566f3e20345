"""Start the test host by hand, with this pack linked in, and stay until Ctrl-C.

    .venv-host/bin/python scripts/host.py [--front-end newest] [--base FOLDER]

The base folder (models, input, output, user settings) is kept between runs: out/host unless told.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "host"))

from host_server import FRONT_ENDS, HostServer  # noqa: E402

log = logging.getLogger("host")


def main() -> None:
    """Command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--front-end", choices=FRONT_ENDS, default="pinned")
    parser.add_argument("--base", type=Path, default=ROOT / "out" / "host")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    with HostServer(options.base.resolve(), {"reenact": ROOT}, options.front_end) as host:
        log.info("%s after %.1f s; base folder %s", host.url, host.seconds_to_start, host.base)
        for line in host.import_failures():
            log.error("%s", line)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            log.info("stopping")


if __name__ == "__main__":
    main()
