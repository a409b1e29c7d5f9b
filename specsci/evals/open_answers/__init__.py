"""Open requests, answered in words and read by fixed rules, without a judge."""
