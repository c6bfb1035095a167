"""What the pipeline has made, in the form that other programs read."""
