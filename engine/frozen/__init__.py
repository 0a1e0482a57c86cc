"""The frozen pass: attention patterns and norm denominators held, MLPs replaced by what they wrote; linear."""
