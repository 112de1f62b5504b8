"""Text from outside, made fit for a terminal, a log or a row."""


def printable(text: str, longest: int = 500) -> str:
    """One line of at most `longest` characters; control and other invisible characters escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
