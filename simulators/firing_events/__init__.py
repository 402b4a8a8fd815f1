"""Networks with multiple firing events: a ring of leaky neurons, one that beats, and the events themselves."""
