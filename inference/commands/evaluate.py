"""``circuitsbi compare`` and ``diagnose``: estimators on simulations that they have not seen."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.options import (
    ModelsOption,
    RangeOption,
    SimulatorOption,
    TestedOption,
    chosen_range,
    chosen_simulator,
    load_models,
    opened_campaign,
)
from inference.commands.output import console, plain_errors, refuse_no_picture, warn
from simulators.files import refuse_unwritable

_LEAST = 100  # recordings for a diagnosis


def compare(
    model: ModelsOption = None,
    campaign: TestedOption = None,
    range_name: RangeOption = "asynchronous",
    simulator: SimulatorOption = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Recordings to test on; else 100 of those kept for testing.")
    ] = None,
    include: Annotated[
        str, typer.Option(help="Also 'gsdr', which simulates anew for every recording: minutes each.")
    ] = "",
    figure: Annotated[Path | None, typer.Option(help="Figure to draw (.png, .pdf, .svg).")] = None,
) -> None:
    """Lay estimators side by side on simulations they have not seen, beside the best accuracy that is possible."""
    with plain_errors():
        if figure is not None:
            refuse_no_picture(figure)
        from inference.reports.comparison import compare_figure, compare_tables
        from inference.reports.tables import show
        from inference.workflows.evaluate import compare as compare_estimators
        from inference.workflows.evaluate import held_out

        estimators = None if model is None else load_models(model)
        tested = held_out(
            estimators,
            opened_campaign(campaign),
            n,
            chosen_range(range_name),
            chosen_simulator(simulator),
            most=100,
            include=[kind.strip() for kind in include.split(",") if kind.strip()],
        )
        for caution in tested.cautions:
            warn("campaign", caution)
        scores, limit = compare_estimators(tested)
        show(console, *compare_tables(scores, limit))
        if limit is not None:
            named = zip(next(iter(scores.values())).parameters.names, limit, strict=True)
            show(console, "Cramér-Rao limit of the error: " + ", ".join(f"{p} {100 * v:.2f} %" for p, v in named))
        if figure is not None:
            compare_figure(scores, limit).savefig(figure)
            console.print(f"figure: {figure}")


def diagnose(
    model: ModelsOption = None,
    campaign: TestedOption = None,
    range_name: RangeOption = "asynchronous",
    simulator: SimulatorOption = None,
    n: Annotated[
        int | None, typer.Option("--n", min=_LEAST, help="Recordings to test on; else up to 300 kept for testing.")
    ] = None,
    checks: Annotated[int, typer.Option(min=0, help="Recordings for the posterior predictive check.")] = 1,
    out: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("diagnosis.html"),
) -> None:
    """Hold posteriors against the truth: calibration, coverage, bias, misspecification; a verdict for each."""
    with plain_errors():
        refuse_unwritable(out)
        from inference.reports.diagnosis_page import write_diagnosis
        from inference.reports.tables import findings_table, show
        from inference.workflows.evaluate import diagnose as diagnose_estimators
        from inference.workflows.evaluate import held_out
        from inference.workflows.study import NotAtHand

        estimators = None if model is None else load_models(model)
        tested = held_out(
            estimators, opened_campaign(campaign), n, chosen_range(range_name), chosen_simulator(simulator)
        )
        for caution in tested.cautions:
            warn("campaign", caution)
        if len(tested.recordings) < _LEAST:
            raise ValueError(
                f"{len(tested.recordings)} simulations were kept for testing; a diagnosis needs {_LEAST}: train with "
                f"--test {_LEAST} or more, or give another --campaign"
            )
        found = diagnose_estimators(tested, checks)
        show(console, findings_table(found))
        if checks and isinstance(tested.study.simulator, NotAtHand):
            show(
                console,
                f"no posterior predictive check: it needs the code of {tested.study.simulator.name}; "
                f"give it, such as --simulator my_model.py:my_circuit",
            )
        about = {e.kind: e.about for e in tested.estimators}
        write_diagnosis(
            out, "How far to trust these estimators", len(tested.recordings), found, tested.study.parameters, about
        )
        console.print(f"report: {out}")
