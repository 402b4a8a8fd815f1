"""What the commands write on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from simulators.files import refuse_unwritable

# Names of files and channels may hold square brackets: nothing in a text is taken for markup.
console = Console(markup=False)
_errors = Console(stderr=True, markup=False)


def warn(about: str, text: str) -> None:
    """One line on the terminal: what is doubtful, and why."""
    console.print(Text.assemble((f"{about}:", "bold yellow"), f" {text}"))


def refuse_no_picture(path: Path) -> None:
    """Raises ValueError where no picture can be written, before the work for it is done."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise ValueError(f"{path} does not end in a kind of picture: {', '.join(sorted(kinds))}")
    refuse_unwritable(path)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors a user can mend are one message and exit status 2, without a traceback."""
    from simulators.campaigns.store import CampaignError

    try:
        yield
    except (ValueError, CampaignError, ImportError, OSError) as error:
        _errors.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True, highlight=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; what was finished is kept")
        raise typer.Exit(130) from None
