"""What a notebook calls on a loaded model: `run` and `generate`, with edits and taps written by hand.

They prepare what the engine's own passes take (`engine.model.forward`, `engine.model.generate`) and name what comes
back. Analyses do not go through here; they make their arrays by the thousand.
"""
