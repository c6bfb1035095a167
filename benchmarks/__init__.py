"""What the project costs: each script prints a table, and one JSON object as its last line."""
