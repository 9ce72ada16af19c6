"""Recipes as TOML files, the types they are read into, and how they are read."""
