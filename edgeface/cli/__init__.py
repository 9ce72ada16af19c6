"""The command line: one file per command, thin; what a command does stands in the rooms below."""
