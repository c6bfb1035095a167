"""Models are evaluated and reported on."""
