"""How cost grows with size, and what all of Amazon 2023 would take."""
