"""Frozen encoders of pictures and texts."""
