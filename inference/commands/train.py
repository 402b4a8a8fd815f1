"""``circuitsbi train``: estimators from a campaign."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import (
    ProbeOption,
    RangeOption,
    SeedOption,
    SimulatorOption,
    chosen_probe,
    chosen_range,
    chosen_simulator,
)
from inference.commands.output import console, plain_errors


def train(
    out: Annotated[Path, typer.Option(help="Folder for the trained estimators.")],
    campaign: Annotated[Path | None, typer.Option(help="Campaign to learn from; the shipped one by default.")] = None,
    range_name: RangeOption = "asynchronous",
    probe: ProbeOption = None,
    simulator: SimulatorOption = None,
    relative: Annotated[bool, typer.Option(help="Relative power, for recordings of unknown gain.")] = False,
    segment_ms: Annotated[
        float | None, typer.Option(help="Length of Welch's segments; else what tells most of the parameters.")
    ] = None,
    band: Annotated[str | None, typer.Option(help="Lowest and highest frequency (Hz), such as '10,200'.")] = None,
    sampling_rate: Annotated[
        float | None, typer.Option(help="Hz of the recordings they are for, if lower than simulated.")
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", help="Length of the recordings they are for (s); else as simulated.")
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(help="Of cnn, npe (posterior), gradient, nearest, stasik-cnn; the first three by default."),
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(min=0, help="Keep so many of the last simulations for testing: 400 of the shipped, else none."),
    ] = None,
    background: Annotated[
        bool, typer.Option(help="Recordings have a 1/f background of any exponent and a noise floor besides.")
    ] = False,
    rhythms: Annotated[
        int, typer.Option(min=0, max=20, help="With a background: so many rhythms from elsewhere at most.")
    ] = 0,
    depth_within: Annotated[
        float | None,
        typer.Option(help="The laminar probe may lie so many um higher or lower than is said; the posterior finds it."),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Train estimators on a campaign: CNN, neural posterior and the gradient fit through an emulator of its spectra."""
    with plain_errors():
        from inference.features.interface import shown
        from inference.features.spectra import SpectralFeatures
        from inference.workflows.shipped import reference_campaign, reference_tests
        from inference.workflows.study import NotAtHand
        from inference.workflows.train import spectral_study
        from inference.workflows.train import train as train_estimators
        from simulators.campaigns.store import Campaign
        from surrogates.spectra.additions import Additions

        range_name = chosen_range(range_name)
        places = chosen_probe(probe)
        data = reference_campaign(range_name) if campaign is None else Campaign(campaign)
        console.print(data.summary() + ("" if data.usable.size == len(data) else "; only those that are ok are used"))
        if test is None:
            test = reference_tests(range_name) if campaign is None else 0
        if test:
            console.print(f"the last {test} are kept for testing")
        study = spectral_study(
            data, chosen_simulator(simulator), places, test, relative, segment_ms, _band(band), sampling_rate,
            depth_within,
        )  # fmt: skip
        if isinstance(study.simulator, NotAtHand) and data.configuration["simulator"].get("kind") != "function":
            console.print(
                f"the simulations are taken as they are; if {study.simulator.name} has a forward model, give its code: "
                f"--simulator my_model.py:{study.simulator.name}"
            )
        console.print(f"features: {_described(study.features)}")
        out.mkdir(parents=True, exist_ok=True)
        kinds = None if estimators is None else [e.strip() for e in estimators.split(",")]
        if rhythms and not background:
            raise ValueError("--rhythms come on top of a background; give --background too")
        seen = shown(study.features)
        assert isinstance(seen, SpectralFeatures)  # of a spectral study
        additions = Additions(rhythms, band_hz=seen.band) if background else None
        for name, estimator in train_estimators(
            study, data, kinds, seed, test, duration_s=duration_s, additions=additions, depth_within_um=depth_within
        ):
            estimator.save(out / f"{name}.safetensors")
            console.print(f"wrote {out / name}.safetensors  ({estimator.about['simulations']} simulations)")


def _band(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"the band is '{text}'; give two frequencies in Hz, such as --band 10,200") from None
    return low, high


def _described(features: object) -> str:
    from inference.features.cross_spectra import CrossSpectra
    from inference.features.spectra import SpectralFeatures

    assert isinstance(features, SpectralFeatures)
    low, high = features.band
    relative = "relative " if features.relative else ""
    of = f"{low:g} ... {high:g} Hz in segments of {features.segment_ms:g} ms"
    if isinstance(features, CrossSpectra):
        return f"{relative}cross-spectra of the channels' {len(features.weights)} principal components, {of}"
    return f"{relative}spectra of {of}"
