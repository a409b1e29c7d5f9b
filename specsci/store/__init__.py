"""The store on disk: artefacts under their digests, and the ledger of running steps."""
