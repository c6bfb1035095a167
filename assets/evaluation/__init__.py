"""Models are judged and reported on."""
