"""What a model's stream is at the output position of each prompt, and what it answers there."""
