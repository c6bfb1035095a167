"""One run at a time of a dataset, and what to do after one that failed."""
