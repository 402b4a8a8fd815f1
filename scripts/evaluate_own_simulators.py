"""How well the estimators do on circuits that nobody tuned them for: three models of tests/own_models/.

    python scripts/evaluate_own_simulators.py                     1,000 simulations to train on, 200 to test on
    python scripts/evaluate_own_simulators.py --n 400 --test 100  a quick look
    python scripts/evaluate_own_simulators.py --out FOLDER        where campaigns, estimators and scores are kept

Started again, it goes on where it was. Every step is one of the command line's, with its defaults. The last line is one
JSON object: for each model and estimator the mean absolute error (% of the range) and the coverage of the 50 % and 90 %
intervals by parameter; for the damped oscillator also those of its exact posterior, the least that is possible.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from inference.estimate import Estimate
from inference.estimators.load import load_estimator
from inference.evaluation.scores import score
from inference.workflows.study import split_rows
from inference.workflows.train import spectral_study, train
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.registry import load_simulator

MODELS = Path(__file__).parents[1] / "tests" / "own_models"
NAMES = ("damped_oscillator", "wilson_cowan", "jansen_rit")
KINDS = ("cnn", "npe", "gradient")
KEPT = ("error_percent", "coverage50", "coverage90")
console = Console()


def exact(campaign: Campaign, rows: np.ndarray) -> list[Estimate]:
    """The damped oscillator's posterior, without approximation."""
    from damped_oscillator import ExactPosterior  # load_simulator has put its folder on the path

    rng = np.random.default_rng(0)
    posteriors = (ExactPosterior(r.steady[0]) for r in campaign.recordings(rows))
    return [Estimate(campaign.parameters, p.mean, p.samples(2000, rng), "exact posterior") for p in posteriors]


def estimator_file(folder: Path, name: str, kind: str, campaign: Campaign, test: int) -> Path:
    """An estimator trained on all but the last ``test`` simulations, unless it is there already."""
    path = folder / f"{name}_{kind}.safetensors"
    if not path.is_file():
        for _, estimator in train(spectral_study(campaign, test=test), campaign, [kind], test=test):
            estimator.save(path)
    return path


def evaluated(folder: Path, name: str, n: int, test: int) -> dict[str, dict[str, Any]]:
    """Scores by estimator."""
    file = folder / f"{name}.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    simulator = load_simulator(f"{MODELS / name}.py:{name}")
    campaign = run_campaign(simulator, n + test, 1, folder / f"{name}.zarr", workers=2, label=name)
    rows = split_rows(campaign, test)[1]
    for kind in (*KINDS, *["exact"] * (name == "damped_oscillator")):
        if kind in found:
            continue
        if kind == "exact":
            estimates = exact(campaign, rows)
        else:
            estimator = load_estimator(estimator_file(folder, name, kind, campaign, test))
            estimates = [estimator.estimate(r) for r in campaign.recordings(rows)]
        made = score(campaign.theta[rows], estimates).to_json()
        found[kind] = {key: made[key] for key in KEPT}
        file.write_text(json.dumps(found))
        console.print(f"{name}, {kind}: {found[kind]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="simulations to train on")
    parser.add_argument("--test", type=int, default=200, help="simulations to test on")
    parser.add_argument("--models", default=",".join(NAMES), help="which, with commas between")
    parser.add_argument("--out", type=Path, default=Path("own_simulators"), help="folder of everything that is kept")
    asked = parser.parse_args()
    folder = asked.out / f"{asked.n}+{asked.test}"
    folder.mkdir(parents=True, exist_ok=True)
    results = {name: evaluated(folder, name, asked.n, asked.test) for name in asked.models.split(",")}
    table = Table("model", "estimator", "parameter", "error %", "in 50 %", "in 90 %")
    for name, by_kind in results.items():
        for kind, values in by_kind.items():
            for parameter in values["error_percent"]:
                table.add_row(name, kind, parameter, *(f"{values[key][parameter]:.3g}" for key in KEPT))
    console.print(table)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
