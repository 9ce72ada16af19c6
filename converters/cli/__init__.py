"""The command line: one thin file per command, named as the command."""
