"""The commands, one module each: `get_parser()` has the options, `main(argv)` runs it with a list of them."""
