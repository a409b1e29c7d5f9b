"""Training stages: packing, adapters, checkpoints, and one stage over several processes."""
