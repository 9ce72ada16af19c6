"""How good the shipped files are: one module per protocol, all through the device's own path."""
