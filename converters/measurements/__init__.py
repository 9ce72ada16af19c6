"""What was measured, as data: the JSON files and the types, readers and writers of each."""
