"""The embedding store: a vector for each distinct content, encoded only once."""
