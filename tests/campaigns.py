"""Campaigns for tests, in this process and in one that can be killed."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from simulators.campaigns.run import run_campaign

ROOT = Path(__file__).resolve().parent.parent


def run(simulator, path, n=12, seed=3, **options):
    return run_campaign(simulator, n, seed, path, **{"workers": 2, "progress": False, **options})


def rows_of(campaign):
    return campaign.theta, campaign.status, campaign.values(campaign.usable)


def assert_same(first, second):
    for a, b in zip(rows_of(first), rows_of(second), strict=True):
        np.testing.assert_array_equal(a, b)


SCRIPT = textwrap.dedent(
    """
    import sys
    sys.path[:0] = [{tests!r}, {root!r}]
    from toy_simulators import BusySimulator, NoiseSimulator
    from simulators.campaigns.run import run_campaign
    if __name__ == "__main__":
        run_campaign({simulator}, 60, 3, sys.argv[1], workers=2, progress=False)
    """
)


def start(tmp_path, store, simulator="NoiseSimulator(sleep_s=0.05)"):
    script = tmp_path / "campaign_script.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), simulator=simulator))
    return subprocess.Popen(
        [sys.executable, str(script), str(store)],
        start_new_session=True,
        # A shell that runs the tests in the background has Ctrl-C ignored by all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_rows(store, n, process, timeout=90):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        # A row that is just being written has a file of another name.
        if sum(path.name.isdecimal() for path in (store / "status" / "c").glob("*")) >= n:
            return
        time.sleep(0.01)
    raise AssertionError("no rows appeared")
