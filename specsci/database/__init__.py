"""The results database as everybody reads it: manifests of studies, connections, SQL, Parquet rows."""
