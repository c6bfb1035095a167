"""Fitting a model: sampling, loss, epochs, early stopping, and the search for settings."""
