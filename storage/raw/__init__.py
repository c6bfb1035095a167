"""Raw data from outside: downloaded, read line by line, and what cannot be read."""
