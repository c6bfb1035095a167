"""What assets publish below the data root: tables, arrays, models, and their manifests."""
