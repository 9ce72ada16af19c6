"""The daemon: threads, clocks and signals, and what lives as long as the process."""
