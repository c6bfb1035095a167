"""Frozen encoders of pictures and texts."""

# Versions of what happens between a file or text and its vector: another number, and everything is encoded anew.
IMAGE_PREPROCESSING = 2
TEXT_PREPROCESSING = 1
