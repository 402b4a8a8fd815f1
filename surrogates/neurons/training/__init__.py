"""From a cell to its trained surrogate."""
