"""What every asset is defined with: the decorator, its settings and its I/O managers."""
