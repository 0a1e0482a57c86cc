"""Feature values of prompts: the strongest of each token, and how often every feature is active."""
