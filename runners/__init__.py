"""Who runs the DAG, and what people type."""
