"""Agentic evals: any Inspect task, with the model of a step as its subject and a study's generator as its judge."""
