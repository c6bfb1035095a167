"""What users get: the best of the items that they do not have, and of those that nobody has yet."""
