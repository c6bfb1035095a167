"""Models are judged, recommend, and are reported on."""
