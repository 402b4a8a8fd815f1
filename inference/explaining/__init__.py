"""Which circuit explains one channel of a recording, beside a background that no circuit makes."""
