"""What pydantic finds wrong, in the words of an installer: the key's path, the value, what would be right."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from smartbox.errors import Problem

# Type of pydantic's error -> our sentence; what is missing here keeps pydantic's.
_WORDS = {
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list in brackets, as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be a mapping of keys to values"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be text; put a number or a date in quotes",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "too_short": "needs at least {min_length} entries, it has {actual_length}",
    "too_long": "takes at most {max_length} entries, it has {actual_length}",
}
_ID = "use a-z, 0-9 and -, at most 48 characters"
SHOWN = 80  # characters of a value
_LISTED = 24  # known names
_SECRET = ("password", "secret", "credential", "url", "key", "publishers", "readers")  # in a key: its value is not told


def problems_of(error: ValidationError, cls: type[BaseModel], path: str) -> list[Problem]:
    """Each of pydantic's complaints; a list that is short only because its entries are bad is not complained of."""
    problems: dict[str, Problem] = {}
    items = error.errors(include_url=False)
    paths = [".".join(map(str, item["loc"])) for item in items]
    for item, own in zip(items, paths, strict=True):
        if item["type"] == "too_short" and any(other.startswith(f"{own}.") for other in paths):
            continue
        parts = [str(part) for part in item["loc"] if not _is_branch(part)]
        where = ".".join([path, *parts]) if path else ".".join(parts)
        problem = Problem(where, _message(item, parts, cls, where))
        problems.setdefault(str(problem), problem)
    return list(problems.values())


def _message(item: Mapping[str, Any], parts: list[str], cls: type[BaseModel], where: str) -> str:
    if item["type"] == "extra_forbidden":
        return unknown(parts[-1] if parts else "?", _keys(cls, parts[:-1]))
    if item["type"] == "missing":
        return "is missing"
    message = _sentence(item, where)
    value = repr(item["input"])
    if isinstance(item["input"], dict | list) or value in message or _secret_like(parts) or "PRIVATE KEY" in value:
        return message
    return f"{value if len(value) <= SHOWN else value[:SHOWN] + '…'}: {message}"


def _sentence(item: Mapping[str, Any], where: str) -> str:
    context = item.get("ctx", {})
    if item["type"] == "string_pattern_mismatch" and context.get("pattern", "").startswith("^[a-z0-9-]"):
        return _ID
    if item["type"] in _WORDS:
        message = _WORDS[item["type"]].format(**context)
        coordinate = where.startswith("zones.") and item["type"] in ("less_than_equal", "greater_than_equal")
        return message + "; coordinates are shares of the picture, 0-1, not pixels" if coordinate else message
    text = str(item["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _keys(cls: type[BaseModel], way: list[str]) -> list[str]:
    """The keys that may stand below `way` in a model, as they are written in the file."""
    models = [cls]
    for part in way:
        fields = [
            field for model in models for name, field in model.model_fields.items() if part in (name, field.alias)
        ]
        if fields:  # else the index of a list, or a name in a mapping
            models = [model for field in fields for model in _models(field.annotation)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in `tuple[Window, ...] | None` and its like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _is_branch(part: Any) -> bool:
    """Parts of a location that pydantic adds for unions and validators, not keys of the file."""
    return isinstance(part, str) and ("[" in part or "(" in part or part in ("str", "int", "float", "bool"))


def _secret_like(parts: list[str]) -> bool:
    return any(word in part for part in parts for word in _SECRET)


def unknown(name: str, known: Iterable[str], what: str = "key") -> str:
    """A name that is not among the known ones: the nearest, and which there are."""
    names = list(known)
    if not names:
        return f"{name!r} is not a known {what}" + (f"; no {what}s are configured" if what != "key" else "")
    close = get_close_matches(str(name), names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{name!r} is not a known {what}{hint} known are {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """The names on one line, cut where they are many."""
    every = list(names)
    rest = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + rest
