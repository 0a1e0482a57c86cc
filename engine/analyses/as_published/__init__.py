"""Quantities as earlier studies computed them, faults included, so that their numbers can be compared with ours."""
