"""The models that score items for users, and what they are built from."""
