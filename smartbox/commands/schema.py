"""Prints the JSON Schema of the configuration or of an event."""

import argparse
import json

from smartbox import cloudevent, configschema

EXAMPLE = "smartbox schema config > smartbox.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("which", choices=("config", "event"), help="the YAML on the box, or the event on the wire")


def main(args: argparse.Namespace) -> int:
    schema = configschema.schema() if args.which == "config" else cloudevent.schema()
    print(json.dumps(schema, indent=2))
    return 0
