"""Error analysis: which neurons tell wrong answers from right ones, on which prompts, and where errors concentrate."""
