"""Training of the networks that ship, and of anybody's own: recipes, faces, losses, one loop."""
