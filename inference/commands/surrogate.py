"""``circuitsbi surrogate``: train a surrogate neuron and see how well it does."""

import json
from pathlib import Path
from typing import Annotated

import typer

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
