"""Result files of the analyses, in the layouts people read."""
