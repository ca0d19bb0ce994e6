"""The command line, one file a command: arguments in, results out. The only place of imports inside functions."""
