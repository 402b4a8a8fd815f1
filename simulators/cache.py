"""Where what is costly to compute is kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder that CIRCUITSBI_CACHE names, or one in the user's own cache; it need not exist yet."""
    return Path(os.environ.get("CIRCUITSBI_CACHE") or Path.home() / ".cache" / "circuitsbi")
