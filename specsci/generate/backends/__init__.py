"""Those who answer requests to language models: a folder for each."""
