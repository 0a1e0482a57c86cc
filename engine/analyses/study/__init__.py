"""A whole pipeline from one configuration: its stages as data, what of them is there, and running the rest."""
