"""The decoder: configuration, modules, forward passes, cache and sampling."""
