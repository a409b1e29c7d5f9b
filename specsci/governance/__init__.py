"""What was promised and what was taken back: registrations, claims, retirements, stale studies."""
