"""What a file holds: networks and checkpoints described without running anything of theirs but the pinned runtimes."""
