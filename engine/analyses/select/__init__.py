"""Which features of an earlier study are followed, and on which prompts."""
