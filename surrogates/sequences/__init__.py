"""Models of spike counts in time: what comes next in a network with multiple firing events."""
