"""One module per sub-command: add_arguments(parser) and main(args) -> exit code."""
