"""Files as a whole: written atomically, locked, mirrored, cleaned up after."""
