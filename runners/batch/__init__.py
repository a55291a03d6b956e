"""Predictions for many rows: files, tables and folders in, files out; on this machine, an endpoint, or Vertex AI."""
