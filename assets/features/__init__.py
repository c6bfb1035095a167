"""Pictures and texts of items become embeddings."""
