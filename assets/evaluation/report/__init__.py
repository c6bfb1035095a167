"""The report: what was found of one dataset, as one HTML page that needs nothing beside it."""
