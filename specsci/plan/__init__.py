"""From a study to steps, and what stands against running them."""
