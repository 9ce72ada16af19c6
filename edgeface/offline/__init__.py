"""Files in, numbers and drawn pictures out: analysis and benchmarks without a broker."""
