"""Wiring of a TFX pipeline: ingestion, gates, DAG and push. Knows no model by name."""
