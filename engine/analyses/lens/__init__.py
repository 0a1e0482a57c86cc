"""First looks into a prompt: what the stream says at each layer, who wrote the answer, where it is decided."""
