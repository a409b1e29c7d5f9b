"""Base models and tokenizers: loading, chat templates, checks, and export of what was trained."""
