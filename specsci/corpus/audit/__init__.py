"""The audit of training texts: leaks, duplicates, coverage, identity, and what differs between variants beside their specs."""

from specsci.corpus.audit.leaks import leaks, normalised
from specsci.corpus.audit.step import run_audit

__all__ = ["leaks", "normalised", "run_audit"]
