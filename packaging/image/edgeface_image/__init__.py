"""The image of a card, made of Debian's packages and ours: unpacked for ARM, never emulated."""
