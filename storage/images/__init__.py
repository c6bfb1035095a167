"""Product pictures: fetched, checked, and kept in shards."""
