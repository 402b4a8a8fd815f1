"""What an LFP and what spiking tell of the ten parameters of the network with alpha-shaped synapses.

    python scripts/evaluate_ten_parameters.py --campaign FOLDER      train on all but the last 1,000 rows, test on them
    python scripts/evaluate_ten_parameters.py --campaign FOLDER --rows 2000 --test 300
    python scripts/evaluate_ten_parameters.py --campaign FOLDER --peer 3000        only: the emulator beside another

The campaign is that of 'circuitsbi simulate --simulator brunel-alpha --n 11000'. lfp: two contacts, 100 and 400 um
below the surface, of known gain; spikes: counts of both populations. Errors are mean absolute ones, in % of the range;
a guess of the middle errs by 25 %. The emulator is of spike counts, and sees an LFP
through kernels that follow theta. The limit is that of Gaussian recordings with its spectra and its components, the
prior's own information added.

The last line is one JSON object: for lfp and spikes, by estimator and parameter, error_percent, error_over_limit,
coverage50 and coverage90, contraction (1 - posterior over prior sd), known (errors of the others where tau_m and t_ref
are known), and the limit.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gaussian_process import held_out_loss
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.estimators.base import BaseEstimator
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import PRIOR_INFORMATION, GradientFit
from inference.estimators.neural_posterior import NeuralPosterior
from inference.evaluation.limit import error_limit
from inference.evaluation.scores import score
from inference.features.choice import chosen_spectra
from inference.fitting.descent import Descent
from inference.workflows.study import Study
from inference.workflows.train import untrained_emulator
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.campaigns.store import Campaign
from simulators.fields.probes import LaminarProbe
from simulators.recording import Recording
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

console = Console()
PROBE = LaminarProbe((-100.0, -400.0))
GUESS = 25.0  # % of the range, the error of its middle
SIGNALS = ("lfp", "spikes")
KNOWN = ("tau_m", "t_ref")


def estimators(
    study: Study, some: list[Recording], unit: np.ndarray, seed: int, emulator: SpectralEmulator | None
) -> dict[str, BaseEstimator]:
    """Untrained ones, which see the spectra that tell most. emulator: of spike counts, where it is trained already."""
    features = chosen_spectra(unit, some)
    emulator = emulator or untrained_emulator(Study(study.simulator, None, features.shown), some[:30], seed, True)
    space = study.parameters
    return {
        "cnn": CNNRegressor(space, features, seed=seed, progress=True),
        "npe": NeuralPosterior(space, features, seed=seed, bounded=True, progress=True),
        "gradient": GradientFit(SpectralModel(emulator, study.view), features.shown, Descent(seed=seed, screened=256)),
    }


def limit_percent(fit: GradientFit, theta: np.ndarray, recording: Recording) -> np.ndarray:
    """Mean absolute error at the limit, with what the prior tells."""
    return np.minimum(100 * error_limit(fit, theta, recording, prior=PRIOR_INFORMATION), GUESS)


def evaluate(
    signal: str,
    campaign: Campaign,
    rows: int,
    test: int,
    fits: int,
    folder: Path | None,
    kinds: list[str],
    emulator: SpectralEmulator | None,
) -> tuple[dict[str, Any], SpectralEmulator | None]:
    """Errors and coverages from one signal, and the emulator of spike counts if it is trained by then."""
    torch.set_num_threads(1)
    simulator = CompiledAlphaBrunel()
    study = Study(simulator, simulator.forward_model(PROBE) if signal == "lfp" else None)
    usable = campaign.usable
    learned, tested = usable[:-test][:rows], usable[-test:]
    theta, recordings = study.recordings(campaign, learned)
    truth, unseen = study.recordings(campaign, tested)
    untrained = estimators(study, recordings, study.parameters.to_unit(theta), 0, emulator)
    names, result = study.parameters.names, {}
    for kind in kinds:
        estimator = untrained[kind]
        start = time.perf_counter()
        estimator.fit(theta, campaign.recordings(learned) if kind == "gradient" else recordings)
        console.print(f"{signal} {kind}: trained in {time.perf_counter() - start:.0f} s")
        if folder is not None:
            estimator.save(folder / f"ten_{signal}_{kind}.safetensors")
        n = min(fits, len(unseen)) if kind == "gradient" else len(unseen)
        start = time.perf_counter()
        estimates = [estimator.estimate(r) for r in track(unseen[:n], kind, transient=True)]
        found = score(truth[:n], estimates, (time.perf_counter() - start) / n, len(theta)).to_json()
        spread = np.mean([e.samples.std(0) for e in estimates if e.samples is not None], 0)
        prior = (study.parameters.high - study.parameters.low) / 12**0.5
        found["contraction"] = dict(zip(names, np.round(1 - spread / prior, 3).tolist(), strict=True))
        found["trusted"] = float(np.mean([e.trusted for e in estimates]))
        found["known"] = known_errors(estimator, truth[: min(n, 50 if kind == "gradient" else 200)], unseen)
        result[kind] = found
    fit = untrained["gradient"]
    assert isinstance(fit, GradientFit)
    limit = limit_percent(fit, truth[:200], unseen[0]) if "gradient" in kinds else np.full(len(names), np.nan)
    for found in result.values():
        errors = np.array(list(found["error_percent"].values()))
        found["error_over_limit"] = dict(zip(names, np.round(errors / limit, 2).tolist(), strict=True))
    result["limit_percent"] = dict(zip(names, np.round(limit, 2).tolist(), strict=True))
    show(signal, result)
    return result, fit.model.emulator if fit.model.emulator.channels else None


def known_errors(estimator: BaseEstimator, truth: np.ndarray, recordings: list[Recording]) -> dict[str, float]:
    """Errors (%) of the other parameters where tau_m and t_ref of each recording are known."""
    space = estimator.parameters
    errors = []
    for theta, recording in track(list(zip(truth, recordings, strict=False)), "known", transient=True):
        given = estimator.given({name: float(theta[space.names.index(name)]) for name in KNOWN})
        kept = [space.names.index(name) for name in given.parameters.names]
        errors.append(np.abs(given.estimate(recording).point - theta[kept]) / (space.high - space.low)[kept])
    return dict(zip(given.parameters.names, np.round(100 * np.mean(errors, 0), 2).tolist(), strict=True))


def beside_gaussian_processes(campaign: Campaign, rows: int, test: int) -> dict[str, float]:
    """Held-out loss (nats a recording) of the emulator of spiking and of Gaussian processes, from the same rows."""
    study = Study(CompiledAlphaBrunel())
    usable = np.concatenate([campaign.usable[:-test][:rows], campaign.usable[-test:]])
    theta, recordings = study.recordings(campaign, usable)
    emulator = untrained_emulator(study, recordings[:30], 0, True).fit(theta[:-test], recordings[:-test])
    process = held_out_loss(study.parameters.to_unit(theta), recordings, emulator.bands, len(theta) - test)
    return emulator.score(theta[-test:], recordings[-test:]) | {"gaussian_process": process, "rows": len(theta) - test}


def show(signal: str, result: dict[str, Any]) -> None:
    names = list(result["limit_percent"])
    table = Table("", *names, title=f"{signal}: errors in % of the range (limit), coverage of 50 and 90 %")
    table.add_row("limit", *(f"{v:.1f}" for v in result["limit_percent"].values()))
    for kind, found in result.items():
        if kind == "limit_percent":
            continue
        table.add_row(kind, *(f"{v:.1f}" for v in found["error_percent"].values()))
        table.add_row("  over limit", *(f"{v:.2f}" for v in found["error_over_limit"].values()))
        covered = zip(found["coverage50"].values(), found["coverage90"].values(), strict=True)
        table.add_row("  covered", *(f"{a:.2f} {b:.2f}" for a, b in covered))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=10_000, help="of the campaign to learn from, at most")
    parser.add_argument("--test", type=int, default=1000, help="last usable rows of the campaign, to test on")
    parser.add_argument(
        "--fits", type=int, default=200, help="recordings for the gradient fit, which takes seconds each"
    )
    parser.add_argument("--signals", default=",".join(SIGNALS))
    parser.add_argument("--kinds", default="cnn,npe,gradient", help="of cnn, npe, gradient; the last gives the limit")
    parser.add_argument("--save", type=Path, help="folder for the estimators")
    parser.add_argument("--peer", type=int, default=0, help="only: the emulator beside Gaussian processes, of so many")
    arguments = parser.parse_args()
    if arguments.save is not None:
        arguments.save.mkdir(parents=True, exist_ok=True)
    signals = arguments.signals.split(",")
    if unknown := set(signals) - set(SIGNALS):
        parser.error(f"there is no signal {', '.join(unknown)}; signals are {', '.join(SIGNALS)}")
    campaign = Campaign(arguments.campaign)
    if arguments.peer:
        print(json.dumps({"emulator": beside_gaussian_processes(campaign, arguments.peer, arguments.test)}))
        return
    result, emulator = {}, None
    for signal in signals:
        result[signal], emulator = evaluate(
            signal, campaign, arguments.rows, arguments.test, arguments.fits, arguments.save,
            arguments.kinds.split(","), emulator,
        )  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
