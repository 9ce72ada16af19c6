"""What a card says to the node that boots from it: read from its first partition, kept on its data partition.

Runs with the system's Python and its yaml before the network is up, so it imports nothing of edgeface.
"""
