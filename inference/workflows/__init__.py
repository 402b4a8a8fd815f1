"""One request end to end: train, infer, put to the test, demonstrate."""
