"""Which features drive which others: found by gradients, measured by setting the one and reading the other."""
