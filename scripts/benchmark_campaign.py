"""What a campaign costs over the bare simulations, and what a second worker brings.

    python scripts/benchmark_campaign.py [--n 60]

The same full-size networks are simulated three times: in a plain loop, in a campaign with one worker and in one with
two. A campaign's time is counted from its first stored row to its last, so that starting processes, which a long
campaign does once, is printed apart. The last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import ASYNCHRONOUS_RANGE
from simulators.campaigns.run import run_campaign


def rows_per_second(simulator: CompiledBrunel, n: int, workers: int, folder: Path) -> tuple[float, float]:
    """Rate between the first row and the last, and the seconds until the first row."""
    path = folder / f"{workers}.zarr"
    start = time.time()
    run_campaign(simulator, n, 1, path, workers, progress=False)
    finished = sorted(p.stat().st_mtime for p in (path / "status" / "c").iterdir())
    return (n - workers) / (finished[-1] - finished[workers - 1]), finished[0] - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60)
    n = parser.parse_args().n
    simulator = CompiledBrunel(parameters=ASYNCHRONOUS_RANGE)
    root = np.random.SeedSequence(1)
    theta = ASYNCHRONOUS_RANGE.sample(n, np.random.default_rng(root))
    seeds = root.spawn(n)
    simulator.simulate(theta[0], np.random.default_rng(seeds[0]))  # compiles
    start = time.perf_counter()
    for k in range(1, n):  # the campaign's rate begins after its first row, too
        simulator.simulate(theta[k], np.random.default_rng(seeds[k]))
    bare = (n - 1) / (time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        one, first = rows_per_second(simulator, n, 1, Path(folder))
        two, _ = rows_per_second(simulator, n, 2, Path(folder))
    out = {
        "bare_per_s": round(bare, 3),
        "one_worker_per_s": round(one, 3),
        "two_workers_per_s": round(two, 3),
        "overhead_percent": round(100 * (bare / one - 1), 1),
        "speedup_of_two": round(two / one, 2),
        "first_row_after_s": round(first, 1),
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
