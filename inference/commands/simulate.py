"""``circuitsbi simulate`` and ``observe``: campaigns, and what an instrument sees of a simulation."""

from pathlib import Path
from typing import Annotated, Any

import typer

from inference.commands.campaign import parse_shard, say_reasons
from inference.commands.options import (
    ProbeOption,
    SeedOption,
    SetOption,
    SimulatorOption,
    chosen_probe,
    chosen_simulator,
    named_values,
)
from inference.commands.output import console, plain_errors
from simulators.files import refuse_unwritable


def simulate(
    n: Annotated[int, typer.Option("--n", help="Number of simulations.")],
    out: Annotated[Path, typer.Option(help="Campaign to write, or to go on with.")],
    simulator: SimulatorOption = None,
    range_name: Annotated[
        str | None, typer.Option("--range", help="One of the simulator's own ranges; Brunel's: asynchronous, full.")
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", help="Length of a simulation after its transient (s), if it can vary.")
    ] = None,
    changes: SetOption = None,
    seed: SeedOption = 1,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 2,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to run on instead.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="K/N: only this share of the simulations, into OUT.shards; see 'campaign merge'.")
    ] = None,
) -> None:
    """Simulate many parameter sets into a campaign. Killed and started again with the same command, it goes on."""
    with plain_errors():
        from simulators.campaigns.run import run_campaign

        chosen = chosen_simulator(simulator, changes)
        if chosen is None:
            raise ValueError("name what simulates: --simulator brunel, or --simulator my_model.py:my_circuit")
        chosen = in_range(chosen, range_name)
        if duration_s is not None:
            chosen = lasting(chosen, duration_s)
        share = None if shard is None else parse_shard(shard)
        campaign = run_campaign(chosen, n, seed, out, workers, scheduler, shard=share)
        console.print(f"{campaign.path}: {campaign.summary()}")
        say_reasons(campaign.reasons)


def in_range(simulator: Any, name: str | None) -> Any:
    """The simulator over one of its own ranges. Raises ValueError where it has none of this name."""
    from dataclasses import replace

    if name is None:
        return simulator
    ranges = getattr(simulator, "ranges", {})
    if name == "ai" and "asynchronous" in ranges:
        from inference.commands.options import chosen_range

        name = chosen_range(name)
    if name not in ranges:
        raise ValueError(f"{type(simulator).__name__} has no range '{name}': {', '.join(ranges) or 'it has one only'}")
    return replace(simulator, parameters=ranges[name])


def lasting(simulator: Any, duration_s: float) -> Any:
    """The simulator over another time. Raises ValueError where its length cannot be chosen from outside."""
    if not hasattr(simulator, "lasting"):
        raise ValueError(f"how long {type(simulator).__name__} simulates is its own matter; leave --duration out")
    return simulator.lasting(duration_s)


def observe(
    counts: Annotated[Path, typer.Argument(help="Population spike counts: .npz with 'counts' (populations x bins).")],
    simulator: SimulatorOption,
    at: Annotated[str, typer.Option("--at", help="Parameters that the signal depends on, such as 'J=0.1,g=5'.")],
    probe: ProbeOption = None,
    changes: SetOption = None,
    out: Annotated[Path, typer.Option(help="Recording to write (.npz).")] = Path("lfp.npz"),
) -> None:
    """Turn population spike counts of a network into the LFP or EEG at a probe."""
    with plain_errors():
        refuse_unwritable(out)
        from inference.recordings.files import read_counts, write_recording
        from inference.workflows.study import Study, forward_model_of

        chosen = chosen_simulator(simulator, changes)
        if chosen is None:
            raise ValueError("name the network whose spikes these are, such as --simulator brunel")
        view = Study(chosen, forward_model_of(chosen, chosen_probe(probe))).view
        if view is None:
            raise ValueError(f"{simulator} does not make its signal from spike counts alone")
        values = named_values(at.split(","))
        needed = sorted(view.names)
        wrong = [name for name in needed if not isinstance(values.get(name), int | float)]
        if wrong or set(values) - set(chosen.parameters.names):
            raise ValueError(f"--at is '{at}'; give numbers for {', '.join(needed)}, such as 'J=0.1,g=5'")
        signal = view.observe(read_counts(counts, view.sources), values)
        write_recording(signal, out)
        console.print(f"{out}: {signal.values.shape[0]} channels x {signal.values.shape[1]} samples, {signal.unit}")
