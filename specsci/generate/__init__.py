"""What writes documents: requests, completions, and the generators that turn one into the other."""
