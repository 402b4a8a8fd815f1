"""Files of recordings to read, and what is said of those that cannot be."""

import numpy as np
import pytest


def refused(read, *args, **kwargs) -> str:
    """What a ValueError says."""
    with pytest.raises(ValueError, match=r".") as error:
        read(*args, **kwargs)
    return str(error.value)


def saved(path, **arrays):
    np.savez(path, **{k: np.asarray(v) for k, v in arrays.items()})
