"""Reviews become numbered interactions, k-core filtered and split."""
