"""Which layers and neurons a behaviour depends on, by ablation, activity, direct effect and saliency."""
