"""What ``probe`` is made of: a file is opened, faces are found, settings are tried, and a recipe is written."""
