"""Replay: what setting a feature changes in other features, in rollouts and along given tokens, prompt by prompt."""
