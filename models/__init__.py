"""What learns: encoders, fusion, propagation, training and ranking, in plain PyTorch; nothing here knows Dagster."""
