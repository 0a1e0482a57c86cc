"""The sets of prompts that come with the engine, a file each."""
