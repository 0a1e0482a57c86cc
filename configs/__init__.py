"""Configurations of whole studies; they import nothing heavy."""
