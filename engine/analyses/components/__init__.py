"""Principal components of neurons' second-order effects: codes of many prompts, and what follows from them."""
