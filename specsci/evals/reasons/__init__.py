"""Which reasons stand in the answers of another eval, as a language model finds them."""
