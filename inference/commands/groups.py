"""``circuitsbi groups``: means, spreads and differences of groups of recordings."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.output import console, plain_errors
from simulators.files import refuse_unwritable


def groups(
    results: Annotated[Path, typer.Argument(help="Folder of results of 'circuitsbi infer DATA_SET'.")],
    between: Annotated[
        str, typer.Option(help="The label by which recordings are grouped: condition, group, session ...")
    ] = "condition",
    method: Annotated[str | None, typer.Option(help="Whose answers, where there are several: npe, gradient.")] = None,
    shared: Annotated[
        str | None,
        typer.Option(
            help="All that recordings have in common, with commas, which is inferred from all of them: gain (of "
            "estimators trained with --relative), depth (--depth-within), exponent (of a background), parameters."
        ),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(help="Only recordings with one value of this label share it: subject, session ..."),
    ] = None,
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--unpaired", help="Compare subjects with themselves; by default where most are in both groups."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Page to write (.html).")] = None,
    out: Annotated[Path | None, typer.Option(help="Table of differences to write (.csv).")] = None,
) -> None:
    """Say by how much a circuit's parameters differ between groups of recordings, and how sure that is.

    A hierarchical model weights the samples of each recording; nothing is fitted again. Recordings that no parameters
    explain are left out and named, and what taking them along would change is said.
    """
    with plain_errors():
        for path, ending in ((report, ".html"), (out, ".csv")):
            if path is not None and path.suffix != ending:
                raise ValueError(f"{path} would be written as {ending}; rename it")
            if path is not None:
                refuse_unwritable(path)
        from inference.reports.groups import sharing, show_groups, write_differences
        from inference.reports.groups_page import write_groups_page
        from inference.reports.tables import show
        from inference.workflows.groups import group_study

        study = group_study(results, between, method, shared, paired, within)
        show(console, *([said] if (said := sharing(study)) else []))
        show_groups(console, study)
        if out is not None:
            write_differences(out, study.found)
            console.print(f"differences: {out}")
        if report is not None:
            write_groups_page(report, study, results)
            console.print(f"report: {report}")
