"""A toy world with small base models, in which a whole study runs on two CPU cores."""
