"""Raw dumps become typed tables of reviews and items."""
