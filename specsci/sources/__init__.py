"""Where base models come from, and how a plan knows them before anything is loaded."""
