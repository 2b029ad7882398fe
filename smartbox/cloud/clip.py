"""The command `clip`: which seconds of a camera's recording are wanted."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from smartbox.cloud.command import RIGHT_TIME, CommandError, epoch, short
from smartbox.settings import Duration, Settings
from smartbox.wording import problems_of

_AHEAD = 60.0  # s; more than two clocks differ by


class ClipRequest(Settings):
    """The `args` of a clip: from `before` s before `at` to `after` s after it. What is absent is as for alarms."""

    source: str | None = None
    at: str | None = None
    before: Duration | None = Field(None, ge=0, le=30)
    after: Duration | None = Field(None, ge=0, le=60)

    def when(self, came: float) -> float:
        """Its moment, epoch s; when the command came if none is named. CommandError."""
        if self.at is None:
            return came
        at = epoch(self.at)
        if at is None:
            raise CommandError(f"args.at: {short(self.at)} is no time; {RIGHT_TIME}")
        if at > came + _AHEAD:
            raise CommandError(
                f"args.at: {self.at} is {at - came:.0f} s ahead by the box' clock; a clip is of what was"
            )
        return at


def request(args: Mapping[str, Any]) -> ClipRequest:
    """CommandError for what is no such thing."""
    try:
        return ClipRequest.model_validate(args)
    except ValidationError as error:
        raise CommandError("; ".join(map(str, problems_of(error, ClipRequest, "args")[:5]))) from error
