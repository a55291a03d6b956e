"""Vertex AI: what the DAG is compiled for, rehearsed for and submitted to."""
