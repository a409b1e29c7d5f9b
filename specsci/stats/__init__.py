"""Statistics on arrays and counts: contrasts, intervals, tests, token efficiency and agreement."""
