"""The computation: models, interventions, dictionaries, analyses, statistics, sweeps, training."""
