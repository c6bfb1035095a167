"""Train interactions become the sparse user-item graph."""
