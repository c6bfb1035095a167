"""The graph and the embeddings become trained models."""
