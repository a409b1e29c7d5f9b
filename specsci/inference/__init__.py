"""From counts and answers to estimates: contrasts, token efficiency, variance components, controls."""
