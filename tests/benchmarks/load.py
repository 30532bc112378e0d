"""How fast tables load, against COPY itself and other loaders:
``uv run python -m tests.benchmarks.load``.

TPC-H's lineitem (from ``tpchgen-cli``) goes from one database of a durable PostgreSQL to another,
or from a file, or into DuckDB. Every load, ours and theirs, is a whole process; the figures are the
medians of ``--repeat`` rounds in which the ways take turns. After every round the target's checksum
is compared with the source's, and a difference ends the measurement.

The peers (sling, ingestr, tpchgen-cli) are installed from the registry into environments of their
own below ``--peers``, once. ``--rows`` and ``--cases`` make a quick run.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import load_peers
from tests.benchmarks.load_cases import CASES, Bench
from tests.support.postgres import running_server

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rows", type=int, default=1_000_000, help="of lineitem")
    parser.add_argument("--big-rows", type=int, default=10_000_000, help="in pg_to_pg_10m")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--peers", type=Path, default=Path(tempfile.gettempdir()) / "datanika-load-peers"
    )
    given = parser.parse_args()
    for folder in ("datanika", "tests"):
        # Started without bytecode, ours would compile itself again in every round.
        compileall.compile_dir(ROOT / folder, quiet=2)
    peers = load_peers.install(given.peers)
    with (
        running_server(durable=True) as server,
        tempfile.TemporaryDirectory(prefix="datanika-load-") as folder,
    ):
        bench = Bench(server, peers, Path(folder), given.rows, given.big_rows, given.repeat)
        for case in given.cases:
            CASES[case](bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
