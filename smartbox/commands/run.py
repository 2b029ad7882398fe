"""Runs the box: cameras in, events out, until SIGTERM or Ctrl-C."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from smartbox import anysource, configured, journal, reset
from smartbox import config as configuration
from smartbox.cloud.desired import Desired
from smartbox.commands._args import UsageError
from smartbox.daemon import Daemon
from smartbox.notify import Notifier

EXAMPLE = "smartbox run -c /etc/smartbox/smartbox.yaml"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="the configuration")
    parser.add_argument("--source", metavar="URL", help="try one camera or clip, with an intrusion zone all over it")
    parser.add_argument("--verbose", action="store_true", help="log more")


def main(args: argparse.Namespace) -> int:
    if (args.config is None) == (args.source is None):
        raise UsageError("give either -c FILE or --source URL")
    journal.setup(logging.DEBUG if args.verbose else logging.INFO)
    if args.config:
        reset.carry_out(configuration.load(args.config).box.state_dir)
        config, desired = configured.load(args.config)
    else:
        config, desired = anysource.load(args.source), None
    before = set(threading.enumerate())
    notifier = Notifier()
    stop, again = threading.Event(), threading.Event()
    daemon = Daemon(config, notifier=notifier, restart=lambda: _restart(notifier, again, stop), desired=desired)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: _reload(args.config, desired, notifier, again, stop))
    _announce(config)
    daemon.run(stop)
    if again.is_set():
        os.execv(sys.executable, [sys.executable, "-P", "-m", "smartbox", *sys.argv[1:]])
    if set(threading.enumerate()) - before:
        _leave()
    return 0


def _leave() -> None:
    """End without the interpreter's own end: a library that is still at work in a reader's thread would abort in it."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _reload(
    path: Path | None, desired: Desired | None, notifier: Notifier, again: threading.Event, stop: threading.Event
) -> None:
    """SIGHUP: a good configuration restarts the box in place, open episodes go on; a bad one changes nothing."""
    problems = configured.check(path, configured.in_force(desired)) if path else ()
    for key, message in problems:
        log.error("reload refused, the old configuration stays: %s", f"{key}: {message}" if key else message)
    if not problems:
        _restart(notifier, again, stop)


def _restart(notifier: Notifier, again: threading.Event, stop: threading.Event) -> None:
    log.info("reload: restarting in place")
    notifier.reloading()
    again.set()
    stop.set()


def _announce(config: configuration.Config) -> None:
    """Where to look, for a person who started this by hand."""
    root = f"smartbox/v1/{config.box.site}/{config.box.id}"
    host, port = config.mqtt.host, config.mqtt.port
    log.info("state and pictures: %s", config.box.state_dir)
    tls = " --capath /etc/ssl/certs" if config.mqtt.tls else ""
    log.info("watch it: mosquitto_sub -h %s -p %d%s -v -t '%s/#'", host, port, tls, root)
