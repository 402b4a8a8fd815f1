"""Make what ships with the package: reference campaigns of the Brunel network and the estimators trained on them.

    python scripts/make_reference.py --scratch FOLDER     both ranges, about eight hours on two cores; can be resumed
    python scripts/make_reference.py --scratch FOLDER --only estimators

The campaigns are those of 'circuitsbi simulate --simulator brunel --n 10000' with '--range asynchronous --seed 1' and
'--range full --seed 2'. What ships are the packed counts of their first 2,500 simulations. The last 400 of those
2,500 are there to test the estimators on, which learn from the other 9,600. (Those that ship today learned from fewer:
their files say which rows.) The last line is one JSON object.
"""

import argparse
import json
import time
from pathlib import Path

from inference.features.spectra import SpectralFeatures
from inference.workflows.brunel import REFERENCE_SEEDS, REFERENCE_SIMULATIONS
from inference.workflows.shipped import SHIPPED, reference_tests, shipped_ranges
from inference.workflows.train import spectral_study, train
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign, write_packed

PACKING_STEP = 0.32  # standard deviations: .008 of a decade in single spectra of the counts, which scatter by .07
SIMULATIONS = 10_000  # of which the first REFERENCE_SIMULATIONS ship
KERNEL_BINS = 100  # what an LFP kernel reaches back into the transient


def size_MB(path: Path) -> float:
    return round(sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the whole campaigns (300 MB)")
    parser.add_argument("--range", choices=list(RANGES), action="append", help="one range; both by default")
    parser.add_argument("--only", choices=["campaigns", "estimators"])
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="fewer, to have it sooner")
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
            campaign = run_campaign(simulator, arguments.simulations, REFERENCE_SEEDS[name], whole, arguments.workers)
            packed = write_packed(campaign, store, REFERENCE_SIMULATIONS, PACKING_STEP, KERNEL_BINS)
            print(f"{store}: {packed.summary()}")
        out[name] = {"campaign_MB": size_MB(store)}
        if arguments.only != "campaigns":
            start = time.perf_counter()
            files = {
                file.rpartition("_")[2].removesuffix(".safetensors"): SHIPPED / file for file in entry["estimators"]
            }
            campaign, first_tested = Campaign(whole), REFERENCE_SIMULATIONS - reference_tests(name)
            segment_ms = SpectralFeatures().segment_ms
            study = spectral_study(campaign, test=len(campaign) - first_tested, segment_ms=segment_ms)
            rows = (range(first_tested), range(REFERENCE_SIMULATIONS, min(len(campaign), arguments.simulations)))
            for kind, estimator in train(study, campaign, rows=rows):
                estimator.save(files[kind])
                out[name][f"{kind}_MB"] = round(files[kind].stat().st_size / 1e6, 2)
            out[name]["training_s"] = round(time.perf_counter() - start)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
