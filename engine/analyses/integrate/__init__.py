"""What several analyses say of the same features, as one table, one graph and one story a feature."""
