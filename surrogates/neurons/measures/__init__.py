"""Numbers that say how near a surrogate's answer is to its cell's."""
