"""Debian packages of edgeface: libraries unpacked from locked wheels, for another machine's architecture and Python."""
