"""Text that somebody else wrote, such as names of channels and files, made safe to show."""

import unicodedata

# Control characters and escape sequences, marks that turn the direction of writing, halves of characters, line ends.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str, kept: str = "") -> str:
    """The text with what a terminal would obey, instead of show, written as \\x1b; but for the characters ``kept``."""
    return "".join(c if c in kept or unicodedata.category(c) not in _UNPRINTABLE else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
