"""Neurons scaled in the weights: does the model answer better, and what does it cost elsewhere?"""
