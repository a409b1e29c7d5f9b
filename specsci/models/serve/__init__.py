"""Models behind a vLLM server: one engine for each base model, its adapters loaded and let go by their digests."""
