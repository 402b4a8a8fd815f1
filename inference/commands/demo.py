"""``circuitsbi demo``: a first estimate, from a simulated recording."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import RangeOption, SeedOption, chosen_range
from inference.commands.output import console, plain_errors


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and figures.")] = Path("demo"),
    range_name: RangeOption = "asynchronous",
    seed: SeedOption = 2026,
    retrain: Annotated[bool, typer.Option(help="Train on the reference campaign instead of loading.")] = False,
    order: Annotated[int, typer.Option(help="Size of the network; the estimators know 2500.", hidden=True)] = 2500,
) -> None:
    """The main job: simulate a fresh network in NEST, estimate its parameters from its LFP, report."""
    with plain_errors():
        from inference.workflows.demo import run_demo

        run_demo(console, out, chosen_range(range_name), seed, retrain, order)
