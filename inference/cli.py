"""The ``circuitsbi`` command: every one is a file of ``inference.commands``."""

from typing import Annotated

import typer

from inference.commands import (
    campaign,
    column,
    demo,
    evaluate,
    explain,
    groups,
    infer,
    play,
    simulate,
    surrogate,
    train,
)

app = typer.Typer(
    help="Which circuit could have produced this recording, and how sure can one be?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    demo.demo,
    infer.infer,
    explain.explain,
    groups.groups,
    play.play,
    simulate.simulate,
    train.train,
    evaluate.compare,
    evaluate.diagnose,
    simulate.observe,
):
    app.command()(command)
app.add_typer(campaign.app, name="campaign")
app.add_typer(column.app, name="column")
app.add_typer(surrogate.app, name="surrogate")


def _version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(f"circuitsbi {version('circuitsbi')}")
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Which circuit could have produced this recording, and how sure can one be?"""


if __name__ == "__main__":
    app()
