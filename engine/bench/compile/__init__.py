"""Programs compiled for a card that is not there, and what they read, write and compute."""
