"""What every neuron does to a direction through later attention heads."""
