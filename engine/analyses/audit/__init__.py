"""Earlier results checked before anything is built on them: completeness, readability, and what chance would give."""
