"""Tables, figures, pages and cards, made from results.duckdb and the store's records."""
