"""What is kept: the catalogue of datasets, readers of raw dumps, and everything that touches a disk or a network."""
