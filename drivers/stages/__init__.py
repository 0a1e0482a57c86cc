"""How a study knows and starts other commands: their flags, their processes, what they will take."""
