"""The field's own protocols: a command each, that gives a picture and a JSON file."""
