"""How models are read out: eval kinds, and the probe of absorption."""
