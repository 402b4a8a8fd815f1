"""Make what ships with the package: reference campaigns of the Brunel network and the estimators trained on them.

    python scripts/make_reference.py --scratch FOLDER     both ranges, about two hours on two cores; can be resumed
    python scripts/make_reference.py --scratch FOLDER --only estimators

The campaigns are those of 'circuitsbi simulate --simulator brunel --n 2500' with '--range asynchronous --seed 1' and
'--range full --seed 2'. What ships are their packed counts, from which the estimators learn as anybody's would. The
last line is one JSON object.
"""

import argparse
import json
import time
from pathlib import Path

from inference.workflows.brunel import REFERENCE_SEEDS, REFERENCE_SIMULATIONS
from inference.workflows.shipped import SHIPPED, reference_tests, shipped_ranges
from inference.workflows.train import spectral_study, train
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign, write_packed

PACKING_STEP = 0.32  # standard deviations: .008 of a decade in single spectra of the counts, which scatter by .07
KERNEL_BINS = 100  # what an LFP kernel reaches back into the transient


def size_MB(path: Path) -> float:
    return round(sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the whole campaigns (80 MB)")
    parser.add_argument("--range", choices=list(RANGES), action="append", help="one range; both by default")
    parser.add_argument("--only", choices=["campaigns", "estimators"])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    SHIPPED.mkdir(exist_ok=True)
    out: dict = {}
    for name in arguments.range or list(RANGES):
        entry = shipped_ranges()[name]
        store = SHIPPED / entry["campaign"]
        whole = arguments.scratch / f"{name}.zarr"
        if arguments.only != "estimators":
            simulator = CompiledBrunel(BrunelNetwork(), RANGES[name])
            campaign = run_campaign(simulator, REFERENCE_SIMULATIONS, REFERENCE_SEEDS[name], whole, arguments.workers)
            packed = write_packed(campaign, store, REFERENCE_SIMULATIONS, PACKING_STEP, KERNEL_BINS)
            print(f"{store}: {packed.summary()}")
        out[name] = {"campaign_MB": size_MB(store)}
        if arguments.only != "campaigns":
            start = time.perf_counter()
            # Or its emulator would be taken for what training gives.
            files = {
                file.rpartition("_")[2].removesuffix(".safetensors"): SHIPPED / file for file in entry["estimators"]
            }
            files["gradient"].unlink(missing_ok=True)
            packed, test = Campaign(store), reference_tests(name)
            trained = train(spectral_study(packed, test=test), packed, test=test)
            for kind, estimator in trained:
                estimator.save(files[kind])
                out[name][f"{kind}_MB"] = round(files[kind].stat().st_size / 1e6, 2)
            out[name]["training_s"] = round(time.perf_counter() - start)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
