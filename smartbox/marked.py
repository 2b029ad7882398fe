"""Text that is written anew within a file that people write: between `<!-- NAME -->` and `<!-- /NAME -->`."""


def begin(name: str) -> str:
    """The line before it."""
    return f"<!-- {name} -->"


def end(name: str) -> str:
    """The line behind it."""
    return f"<!-- /{name} -->"


def renewed(whole: str, name: str, text: str) -> str | None:
    """`whole` with `text` between the marks; None: it has no such marks."""
    head, found, rest = whole.partition(begin(name))
    _, closed, tail = rest.partition(end(name))
    return f"{head}{begin(name)}\n{text}\n{end(name)}{tail}" if found and closed else None
