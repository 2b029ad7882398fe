"""What a plan asks, put to models that are open: for whoever looks at one sample at a time.

The daemon's worker asks for many sources at once and goes on without a model that fails: inference.py.
"""

from collections.abc import Mapping, Sequence

from smartbox.model import Model
from smartbox.pipeline import Answer, Request


def ask(models: Mapping[str, Model], requests: Sequence[Request]) -> list[Answer | None]:
    """Answers in the order of the requests, one batch per model; None where `models` lacks it. BackendError."""
    answers: list[Answer | None] = [None] * len(requests)
    for name in dict.fromkeys(request.model for request in requests):
        if model := models.get(name):
            mine = [i for i, request in enumerate(requests) if request.model == name]
            outputs = model.run([requests[i].tensor for i in mine])
            for i, output in zip(mine, outputs, strict=True):
                answers[i] = Answer(output, model.ref)
    return answers
