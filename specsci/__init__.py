"""specsci: experiments on model specs, from one study file to an answer with its denominators."""

__version__ = "0.1.0"
