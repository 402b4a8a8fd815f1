"""Make the estimators that answer for one channel of unknown gain and depth, of any length from 2.8 s on.

    python scripts/make_one_channel.py --campaign FOLDER --out inference/shipped/one-channel      (half an hour)

FOLDER is the campaign of 'circuitsbi simulate --simulator brunel --range full --seed 2 --n 10000'; by default the
shipped part of it. Half of what they learn from are its simulations, half recordings of 2.8 to 120 s that the shipped
emulator draws; each is seen by one contact at a depth drawn at random, and 70 % have a background besides. The
posterior learns the power and the exponent of the background along, so that recordings can share these. (It learned
the depth too: one channel of unknown gain does not tell it at all.)

    python scripts/make_one_channel.py --features FILE.npz         only what they learn from
    python scripts/make_one_channel.py --from FILE.npz --out ...   train on that

The last line is one JSON object: seconds of training, and how many recordings taught.
"""

import argparse
import json
import time
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from scipy.stats import truncnorm

from inference.estimators.along import EXPONENT, log_power, power_parameter
from inference.estimators.amortised import AmortisedEstimator
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.estimators.neural_posterior import NeuralPosterior
from inference.explaining.spectra import FEATURES, SECONDS
from inference.features.timed import TimedSpectra
from inference.recordings.conform import resampled
from inference.workflows.brunel import REFERENCE_SIMULATIONS, brunel_study
from inference.workflows.shipped import SHIPPED, reference_campaign, reference_tests
from simulators.campaigns.store import Campaign
from simulators.fields.linear import LinearView
from simulators.fields.probes import LaminarProbe
from simulators.interface import Parameter
from simulators.recording import Recording
from surrogates.spectra.additions import Additions
from surrogates.spectra.background import Background

RANGE = "full"
DEPTHS_UM = tuple(-50.0 * k for k in range(11))
FEATURES_OF_ANY_LENGTH = TimedSpectra(FEATURES, (SECONDS, 120.0))
STEEPEST = 4.0  # exponent of a background
SEED = 16


class Taught(NamedTuple):
    """What estimators learn from: theta, and features without and with additions (rows, 2, frequencies).

    along: what the posterior learns beside theta: log power, and the exponent of the background.
    """

    theta: np.ndarray
    along: np.ndarray
    clean: np.ndarray
    added: np.ndarray


def contacts() -> list[LinearView]:
    """One contact each, by depth."""
    model = brunel_study(RANGE, LaminarProbe(DEPTHS_UM)).forward_model
    whole = model.view  # type: ignore[union-attr]
    return [
        LinearView(whole.kernels[:, [i]], whole.sampling_rate, whole.unit, ("signal",), whole.sources, whole.weights)
        for i in range(len(DEPTHS_UM))
    ]


def seen(view: LinearView, source: Recording, theta: np.ndarray, names: tuple[str, ...]) -> Recording:
    """One contact's recording, in the circuit's own scale; estimators take no notice of the unit."""
    recording = resampled(view.observe(source, dict(zip(names, theta, strict=True))), FEATURES.sampling_rate)
    return Recording(recording.steady, recording.sampling_rate, "1", ("signal",))


def drawn_exponent(rng: np.random.Generator) -> float:
    """Of a background, from its prior, but none below 0 or above 4."""
    mean, sd = Background.MEAN[0], Background.SD[0]
    low, high = (np.array([0.0, STEEPEST]) - mean) / sd
    return float(truncnorm.rvs(low, high, mean, sd, random_state=rng))


def learned_along(powers: np.ndarray) -> tuple[Parameter, ...]:
    """What the posterior learns beside the parameters."""
    return (
        power_parameter(powers.tolist()),
        Parameter(EXPONENT, "1", 0.0, STEEPEST, "of the background"),
    )


def taught(campaign: Campaign, drawn: int) -> Taught:
    """Features of the campaign's simulations, but those to test on, and of ``drawn`` recordings of other lengths."""
    fit = load_estimator(SHIPPED / "brunel_full_gradient.safetensors")
    assert isinstance(fit, GradientFit)
    emulator, views, rng = copy(fit.model.emulator), contacts(), np.random.default_rng(SEED)
    tested = range(REFERENCE_SIMULATIONS - reference_tests(RANGE), REFERENCE_SIMULATIONS)
    rows = np.setdiff1d(campaign.usable, tested)
    names, places, additions = campaign.parameters.names, campaign.theta, Additions(band_hz=FEATURES.band)
    theta, along, clean, added = [], [], [], []

    def take(place: np.ndarray, source: Recording) -> None:
        exponent = drawn_exponent(rng)
        recording = seen(views[rng.integers(len(views))], source, place, names)
        share = 0.0 if rng.random() < additions.none else rng.uniform(0, additions.most)
        more = additions.added(recording, share, rng, exponent)
        theta.append(place)
        along.append((log_power(more, FEATURES), exponent))
        clean.append(FEATURES_OF_ANY_LENGTH(recording))
        added.append(FEATURES_OF_ANY_LENGTH(more))

    for some in track(np.array_split(rows, max(1, len(rows) // 250)), "simulations"):
        for row, source in zip(some, campaign.recordings(some), strict=True):
            for _ in range(max(1, drawn // (2 * len(rows)))):
                take(places[row], source)
    for place in track(campaign.parameters.sample(drawn, rng), "drawn recordings"):
        low, high = np.log(FEATURES_OF_ANY_LENGTH.lengths_s)
        emulator.duration_ms = 1e3 * float(np.exp(rng.uniform(low, high))) + emulator.transient_ms + 1.0
        take(place, emulator.simulate(place, rng))
    return Taught(
        np.array(theta), np.array(along), np.stack(clean).astype(np.float32), np.stack(added).astype(np.float32)
    )


def estimators(seed: int = 0) -> dict[str, AmortisedEstimator]:
    """Untrained ones, for the range of the campaign."""
    space = reference_campaign(RANGE).parameters
    return {
        "cnn": CNNRegressor(space, FEATURES_OF_ANY_LENGTH, seed=seed, progress=True),
        "npe": NeuralPosterior(space, FEATURES_OF_ANY_LENGTH, seed=seed, bounded=True, progress=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--drawn", type=int, default=30_000, help="recordings of other lengths")
    parser.add_argument("--features", type=Path, help="write what they learn from here, and end")
    parser.add_argument("--from", type=Path, dest="file", help="what --features wrote")
    parser.add_argument("--kinds", default="npe", help="of cnn, npe; the posterior ships")
    parser.add_argument("--clean", action="store_true", help="learn without additions, to compare with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.file is not None:
        with np.load(arguments.file, allow_pickle=False) as stored:
            data = Taught(*(stored[name].astype(np.float32) for name in Taught._fields))
    else:
        data = taught(
            Campaign(arguments.campaign) if arguments.campaign else reference_campaign(RANGE), arguments.drawn
        )
    if arguments.features is not None:
        np.savez_compressed(arguments.features, **data._asdict())
        return
    seconds = {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kinds.split(","):
        start = time.perf_counter()
        estimator = estimators()[kind]
        theta, along = data.theta, tuple[Parameter, ...]()
        if kind == "npe" and not arguments.clean:
            theta, along = np.column_stack([data.theta, data.along]), learned_along(data.along[:, 0])
        estimator.fit_features(theta, data.clean if arguments.clean else data.added, ("signal",), "1", along)
        estimator.save(arguments.out / f"{kind}.safetensors")
        seconds[kind] = round(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "recordings": len(data.theta)}))


if __name__ == "__main__":
    main()
