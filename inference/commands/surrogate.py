"""``circuitsbi surrogate``: train a surrogate neuron and see how well it does."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import SetOption, chosen_simulator
from inference.commands.output import console, plain_errors, refuse_no_picture

app = typer.Typer(help="Surrogate neurons: fast networks in place of cells in NEURON.", no_args_is_help=True)

CellOption = Annotated[
    str,
    typer.Option(
        "--cell",
        help="point, L2_basket, L2_pyramidal, L5_basket, L5_pyramidal, or the JSON file of a cell of your own.",
    ),
]
DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of simulations, one of each cell in it; what is missing is simulated.")
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Compile and run the .mod and hoc files that a cell of your own names, and read files outside its folder.",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes that simulate.")]


@app.command()
def train(
    cell: CellOption,
    out: Annotated[Path, typer.Option(help="File to write; training that was stopped goes on from OUT.training.")],
    data: DataOption = Path("cells"),
    rounds: Annotated[
        int | None, typer.Option(min=1, max=99, help="Rounds of training data; the cell's own number.")
    ] = None,
    passes: Annotated[int | None, typer.Option(min=1, help="Batches learned from; the cell's own number.")] = None,
    workers: WorkersOption = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the network and its training.")] = 0,
    trust: TrustOption = False,
) -> None:
    """Simulate a cell in NEURON and train a surrogate on it. Killed and started again, it goes on."""
    with plain_errors():
        from surrogates.neurons.measures.scores import score
        from surrogates.neurons.training.make import make_neuron

        neuron, validation = make_neuron(
            cell, data, out, rounds=rounds, passes=passes, workers=workers, seed=seed, trust=trust
        )
        names = [o.name for o in neuron.outputs]
        scores = score(neuron.network.respond(validation.events), validation.target, neuron.network.bin_ms, names)
        console.print(f"{out}: {out.stat().st_size / 1e3:.0f} kB; on the validation runs:")
        console.print_json(json.dumps(scores.to_json()))


@app.command()
def evaluate(
    neuron: Annotated[str, typer.Argument(help="A file that train wrote, or the name of a shipped surrogate.")],
    cell: CellOption,
    data: DataOption = Path("cells"),
    figure: Annotated[Path | None, typer.Option(help="Picture of voltages, the cell's and the surrogate's.")] = None,
    firing: Annotated[
        bool, typer.Option("--firing", help="Also the rates over excitation and inhibition, and drift over 25 s.")
    ] = False,
    runs: Annotated[int | None, typer.Option(min=1, help="Test runs of each regime; the cell's own number.")] = None,
    workers: WorkersOption = 2,
    trust: TrustOption = False,
) -> None:
    """Compare a surrogate with its cell on test runs it has never seen, by input regime."""
    with plain_errors():
        from rich.table import Table

        from surrogates.neurons.assessment.against_cell import evaluate_neuron
        from surrogates.neurons.trained import load_neuron
        from surrogates.neurons.training.curricula import TEST
        from surrogates.neurons.training.make import curriculum_of, folder_of

        if figure is not None:
            refuse_no_picture(figure)
        trained = load_neuron(neuron)
        curriculum = curriculum_of(cell, trust, runs)
        found = evaluate_neuron(trained, cell, data, workers, trust, runs)
        rows = {regime: scores.to_json() for regime, scores in found.items()}
        table = Table("", *rows, title=f"{neuron}, free-running on runs it has never seen")
        for name in next(iter(rows.values())):
            table.add_row(name, *("-" if scores[name] is None else str(scores[name]) for scores in rows.values()))
        console.print(table)
        if firing:
            from surrogates.neurons.assessment.behaviour import behaviour

            rows["firing"] = fires = behaviour(trained, curriculum).to_json()
            console.print(
                f"rates over excitation and inhibition: R2 {fires['map_r2']}; "
                f"variance explained in each 5 s of 25 s: {fires['explained_by_stretch']}"
            )
        if figure is not None:
            from inference.reports.neuron_figure import neuron_figure

            drawn = curriculum.runs(folder_of(cell, data), TEST, workers, progress=False)
            tests = dict(zip((r.name for r in curriculum.regimes), drawn, strict=True))
            neuron_figure(trained, tests, f"{cell}: runs the surrogate has never seen").savefig(figure)
        print(json.dumps(rows))


@app.command()
def tune(
    network: Annotated[
        str,
        typer.Option(help="Network that records every cell: column-cells, or one of your own as my_model.py:network."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the surrogates, and for training that was stopped.")],
    cells: Annotated[
        str | None, typer.Option(help="Kinds of cells to tune, as 'L2_pyramidal,L5_pyramidal'; all by default.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Folder of surrogates to begin with; the shipped ones by default.")
    ] = None,
    runs: Annotated[int, typer.Option(min=16, help="Runs of the network; a quarter is not learned from.")] = 120,
    data: Annotated[Path, typer.Option("--data", help="Folder of runs; what is missing is simulated.")] = Path(
        "network"
    ),
    alone: Annotated[
        int,
        typer.Option(min=0, help="Runs of a shipped cell alone, in each regime it learned first, so as not to forget."),
    ] = 100,
    passes: Annotated[int, typer.Option(min=1, help="Batches learned from.")] = 400,
    hidden: Annotated[
        int | None, typer.Option(min=1, help="Hidden units of the tuned surrogates; as many as they have by default.")
    ] = None,
    workers: WorkersOption = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the runs and of the training.")] = 0,
    changes: SetOption = None,
) -> None:
    """Train surrogates further on what cells do and receive in a network. Killed and started again, it goes on."""
    with plain_errors():
        from rich.table import Table

        from surrogates.network.tuning import RecordedNetwork, runs_alone, simulate_network, tune_neuron
        from surrogates.neurons.training.loop import Schedule

        if start is not None and start.resolve() == out.resolve():
            raise ValueError(f"--from and --out are both {out}; name another folder for what is tuned")
        recorded = chosen_simulator(network, changes)
        if not isinstance(recorded, RecordedNetwork):
            raise ValueError(f"{network} does not record its cells: it has no 'cells', as column-cells has")
        there = list(dict.fromkeys(cell.kind for cell in recorded.cells))
        kinds = there if cells is None else [kind.strip() for kind in cells.split(",")]
        if unknown := [kind for kind in kinds if kind not in there]:
            raise ValueError(f"the network has no {unknown[0]}; its cells are {', '.join(there)}")
        out.mkdir(parents=True, exist_ok=True)
        campaign = simulate_network(recorded, runs, seed, data, workers)
        schedule = Schedule(
            passes, batch=64, stretch_bins=100, learning_rate=1e-3, validations=20, patience=20, seed=seed
        )
        rows = {}
        for kind in kinds:
            begin = kind if start is None else str(start / f"{kind}.safetensors")
            former = runs_alone(kind, alone, campaign, data, workers)
            tuned = tune_neuron(
                begin, kind, recorded, campaign, former, schedule, out / f"{kind}.training", hidden=hidden
            )
            tuned.neuron.save(out / f"{kind}.safetensors")
            rows[kind] = {"before": tuned.before.to_json(), "after": tuned.after.to_json()}
        for kind in kinds:  # only now: a command that is started again need not train what was finished
            (out / f"{kind}.training").unlink(missing_ok=True)
        table = Table("", *(f"{kind} {when}" for kind in rows for when in ("before", "after")))
        table.title = "surrogates given the true inputs of cells, on runs of the network that nothing was learned from"
        for name in dict.fromkeys(name for scores in rows.values() for name in scores["after"]):
            values = [scores[when].get(name) for scores in rows.values() for when in ("before", "after")]
            table.add_row(name, *("-" if value is None else str(value) for value in values))
        console.print(table)
        print(json.dumps(rows))
