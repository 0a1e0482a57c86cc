"""What the commands share: flags, refusals, help, signals."""
