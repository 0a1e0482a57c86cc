"""One folder a command, of the command's name: what a question needs beyond the primitives it is built from."""
