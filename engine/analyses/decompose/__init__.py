"""Which few words say a neuron's direction: components of second-order effects written over a lexicon."""
