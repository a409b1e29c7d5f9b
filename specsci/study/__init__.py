"""Study files: schema, loading, arms, the protocol of eval kinds."""
