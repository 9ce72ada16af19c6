"""The files of one network, made from its reference and proved against it."""
