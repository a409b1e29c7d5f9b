"""Base models of one's own: a directory in the Hugging Face layout."""
