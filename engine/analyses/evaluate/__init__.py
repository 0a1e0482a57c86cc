"""Can the model do the task: scores of the right against the wrong answer, and generated answers."""
