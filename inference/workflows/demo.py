"""The main job, once, before the user's eyes: a fresh network in NEST, its LFP, and which parameters made it."""

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from rich.console import Console

from inference.estimators.base import BaseEstimator
from inference.evaluation.departures import predictive_check
from inference.evaluation.predictive import predictive_spectra
from inference.recordings.files import write_recording
from inference.reports.figures import summary_figure
from inference.reports.recording_page import write_report
from inference.reports.tables import detail_lines, estimates_table, show, verdict_lines
from inference.reports.verdict import verdict
from inference.workflows.brunel import brunel_study
from inference.workflows.shipped import reference_campaign, reference_tests, shipped_estimators
from inference.workflows.train import train
from simulators.brunel.model import BrunelNetwork
from simulators.brunel.nest_network import NestBrunel
from simulators.provenance import versions

PREDICTIVE_DRAWS = 24


def run_demo(console: Console, out: Path, range_name: str, seed: int, retrain: bool, order: int = 2500) -> None:
    """Simulate, observe, estimate, report into the folder ``out``. Raises ValueError for an unknown range."""
    network = BrunelNetwork(order=order)
    study = brunel_study(range_name, network=network)
    space = study.parameters
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    estimators = _retrained(console, range_name) if retrain else shipped_estimators(range_name)
    rng = np.random.default_rng(seed)
    theta = space.sample(1, rng)[0]
    neurons = network.n_excitatory + network.n_inhibitory
    show(console, f"seed {seed}: a network of {neurons:,} neurons with parameters drawn from the range '{range_name}'")
    with _under_way(console, f"NEST simulates {network.duration_ms / 1e3:g} s (about a minute at full size)"):
        spikes = NestBrunel(network, space).simulate_spikes(theta, rng)
    counts = network.count(spikes.times_ms, spikes.senders)
    lfp = study.observe(counts, theta)
    write_recording(lfp, out / "lfp.npz")
    with _under_way(console, f"the estimators answer: {', '.join(e.kind for e in estimators)}"):
        estimates = [estimator.estimate(lfp) for estimator in estimators]
    features = estimators[-1].features
    with _under_way(console, f"{PREDICTIVE_DRAWS} networks with parameters drawn from the posterior are simulated"):
        predictive = predictive_spectra(estimates[-1], study.observed, features, PREDICTIVE_DRAWS, rng)
    check = predictive_check(lfp, features, predictive)
    together = verdict(estimates, check=check)
    table = estimates_table(estimates, theta)
    show(console, *verdict_lines(together), table, *detail_lines(together))
    about = {"seed": seed, "range": range_name, "neurons": neurons, "versions": versions()}
    about |= {f"{e.kind} trained on": f"{e.about['simulations']} simulations" for e in estimators}
    write_report(
        out / "report.html",
        title="Which Brunel network made this LFP?",
        spikes=spikes,
        counts=counts,
        recording=lfp,
        features=features,
        estimates=estimates,
        truth=theta,
        check=check,
        verdict=together,
        fit=estimators[-1],
        provenance=about,
    )
    figure = summary_figure(lfp, features, estimates, truth=theta, check=check)
    figure.savefig(out / "summary.png")
    console.print(
        f"report: {out / 'report.html'}   recording: {out / 'lfp.npz'}   ({time.perf_counter() - start:.0f} s)",
        soft_wrap=True,
    )


def _under_way(console: Console, text: str) -> AbstractContextManager:
    """Says what is being done: beside a spinner on a terminal, as a line where the output goes elsewhere."""
    if console.is_terminal:
        return console.status(text)
    show(console, f"{text} ...")
    return nullcontext()


def _retrained(console: Console, range_name: str) -> list[BaseEstimator]:
    campaign = reference_campaign(range_name)
    console.print(f"training on {campaign.summary()}")
    return [e for _, e in train(brunel_study(range_name), campaign, test=reference_tests(range_name))]
