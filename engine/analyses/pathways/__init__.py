"""Which features drive which: found by gradients, measured by setting them, followed along chains."""
