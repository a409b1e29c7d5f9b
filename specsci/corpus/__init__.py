"""The texts of a study: outline, documents, demonstrations, items, audit."""
