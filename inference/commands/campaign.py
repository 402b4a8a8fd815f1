"""``circuitsbi campaign``: how far a campaign is, and one campaign out of the shards of a cluster's jobs."""

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.output import console, plain_errors

app = typer.Typer(help="Campaigns: how far they are, and one put together from its shards.", no_args_is_help=True)

CampaignArgument = Annotated[Path, typer.Argument(help="What 'circuitsbi simulate' was given as --out.")]
_SHOWN = 5  # reasons, of rows that are not ok


@app.command()
def status(path: CampaignArgument) -> None:
    """Say which rows of a campaign are done, pending or failed, in all and by shard, and why the first of them are."""
    with plain_errors():
        from rich.table import Table

        from simulators.campaigns.rows import Status
        from simulators.campaigns.shards import campaign_status, shards_to_come
        from simulators.campaigns.store import counted

        state = campaign_status(path)
        console.print(f"{path}: {len(state.status)} simulations: {counted(state.status)}")
        if any(part.shard for part in state.parts):
            table = Table("", "rows", *(s.name.lower() for s in Status))
            for part in state.parts:
                name = "merged" if part.shard is None else f"shard {part.shard[0]}/{part.shard[1]}"
                table.add_row(name, str(part.status.size), *(str(int((part.status == s).sum())) for s in Status))
            console.print(table)
        if missing := shards_to_come(state):
            console.print("not begun: shard " + ", ".join(f"{k}/{of}" for k, of in missing))
        say_reasons(state.reasons)


@app.command()
def merge(path: CampaignArgument) -> None:
    """Put the rows of all shards together in PATH. Those that come later are added by merging again."""
    with plain_errors():
        from simulators.campaigns.shards import merge as merge_shards

        campaign = merge_shards(path)
        console.print(f"{path}: {campaign.summary()}")
        say_reasons(campaign.reasons)


def parse_shard(text: str) -> tuple[int, int]:
    """(k, N) from ``K/N``. Raises ValueError for anything else."""
    k, slash, of = text.partition("/")
    if not (slash and k.strip().isdecimal() and of.strip().isdecimal()):
        raise ValueError(f"cannot read the shard '{text}'; write K/N with K from 1 to N, e.g. 3/8")
    return int(k), int(of)


def say_reasons(reasons: dict[int, str]) -> None:
    """The first rows that are not ok, and why."""
    for row, reason in list(reasons.items())[:_SHOWN]:
        console.print(f"  simulation {row}: {reason}")
