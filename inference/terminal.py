"""What the commands write on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

console = Console()
_errors = Console(stderr=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors a user can mend are one message and exit status 2, without a traceback."""
    from simulators.campaign_store import CampaignError

    try:
        yield
    except (ValueError, CampaignError, ImportError, OSError) as error:
        _errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; what was finished is kept")
        raise typer.Exit(130) from None
