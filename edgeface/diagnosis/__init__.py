"""What an operator asks of a node: `doctor` looks for what is wrong, `report` writes it down, `aim` says what is seen.

Each check is a small function from a `Node` to `Finding`; `checks.CHECKS` is the list of them and the one place to add
another. Nothing here changes the node, and a camera is opened only where no daemon runs.
"""
