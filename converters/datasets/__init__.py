"""Labelled pictures: readers of the data sets in their makers' layouts and in the project's own."""
