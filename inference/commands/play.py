"""``circuitsbi play``: a page with sliders for a circuit's parameters, and the spectrum that they give."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import (
    ChannelsOption,
    SamplingRateOption,
    UnitOption,
    VariableOption,
    chosen_range,
)
from inference.commands.output import console, plain_errors, warn
from simulators.files import refuse_unwritable


def play(
    recording: Annotated[
        Path | None, typer.Argument(help="To begin at the estimate of: .npz, .npy, .csv, .mat, .nwb, .fif, .edf, ...")
    ] = None,
    out: Annotated[Path, typer.Option(help="Page to write (.html).")] = Path("play.html"),
    range_name: Annotated[
        str | None, typer.Option("--range", help="Parameter range that ships: asynchronous (the default) or full.")
    ] = None,
    circuit: Annotated[
        str | None,
        typer.Option(
            help="A circuit of one channel instead, of unknown gain: column, ei-circuit, ring, brunel-alpha, "
            "brunel-asynchronous, brunel-full."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A gradient fit of yours instead (.safetensors), or the folder it is in.")
    ] = None,
    sampling_rate: SamplingRateOption = None,
    unit: UnitOption = None,
    variable: VariableOption = None,
    channels: ChannelsOption = None,
) -> None:
    """Write a page with sliders for a circuit's parameters, which shows the spectrum they give, beside a recording's.

    The page holds the circuit's emulator and works without a server and a network, in any browser.
    """
    with plain_errors():
        if out.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"the page is written as .html, not as '{out.suffix}'; rename {out}")
        given = {"--range": range_name, "--circuit": circuit, "--model": model}
        named = [option for option, value in given.items() if value is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} all say what to play with; give one of them")
        refuse_unwritable(out)
        from inference.reports.play import play_of, write_play
        from inference.workflows.play import chosen_fit, play_file
        from inference.workflows.shipped import DEFAULT_RANGE

        range_name = chosen_range(range_name or DEFAULT_RANGE)
        fit = chosen_fit(range_name, circuit, model)
        pick = None if channels is None else [channel.strip() for channel in channels.split(",")]
        if recording is None:
            made = play_of(fit)
        else:
            made = play_file(fit, recording, pick, sampling_rate=sampling_rate, unit=unit, variable=variable)
        what = circuit or (model.stem if model is not None else range_name)
        title = f"{what}: parameters and spectrum" if recording is None else f"{recording.name}: {what}"
        write_play(out, title, made)
        for warning in made.warnings:
            warn("estimate" if made.trusted else "estimate, not to be trusted", warning)
        console.print(f"page: {out}")
