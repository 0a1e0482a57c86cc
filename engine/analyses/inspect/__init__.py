"""What a loaded model or dictionary is, and whether it is hooked where it says."""
