"""Attribution graphs of many prompts: one resumable run, and what the graphs of a behaviour have in common."""
