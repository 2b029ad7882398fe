"""The command line: sub-commands and their arguments, nothing else."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

from smartbox import __version__, commands
from smartbox.commands._args import Parser, UsageError
from smartbox.errors import ConfigError, SmartboxError
from smartbox.secrets import redact
from smartbox.supervise import chain

# OpenCV reads these once, when it is loaded (sources/v4l2.py says why).
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4")

ORDER = ("run", "check", "zones", "replay", "simulate", "score", "events", "unseal", "bench", "models", "schema", "lab")
DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 78 configuration refused."""
    args = parser(sys.argv[1:2] if argv is None else list(argv[:1])).parse_args(argv)
    try:
        return int(args.main(args))
    except UsageError as error:
        _say(f"smartbox {args.command}: {error}")
        return USAGE
    except ConfigError as error:
        _say("\n  ".join([f"smartbox {args.command}: configuration refused", *map(str, error.problems)]))
        return REFUSED
    except SmartboxError as error:
        _say(f"smartbox {args.command}: {chain(error)}")
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except OSError as error:  # a file that a command was told to read or write
        _say(f"smartbox {args.command}: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return 130


def _say(text: str) -> None:
    print(redact(text), file=sys.stderr)


def parser(wanted: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The whole parser. Only the module of the `wanted` command is imported, so that a box starts quickly."""
    top = argparse.ArgumentParser(prog="smartbox", description="Cameras and microphones in, durable events out.")
    top.add_argument("--version", action="version", version=f"smartbox {__version__}")
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    known = [m.name for m in pkgutil.iter_modules(commands.__path__) if not m.name.startswith("_")]
    everything = not set(wanted) & set(known)
    for name in sorted(known, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER)):
        if everything or name in wanted:
            module = importlib.import_module(f"smartbox.commands.{name}")
            summary = (module.__doc__ or "").strip().splitlines()[0]
            epilog = f"example:\n  {module.EXAMPLE}"
            raw = argparse.RawDescriptionHelpFormatter
            one = sub.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=raw)
            module.add_arguments(one)
            one.set_defaults(main=module.main)
    return top


if __name__ == "__main__":
    sys.exit(main())
