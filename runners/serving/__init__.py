"""Asking pushed models: online, in batches, and why they answer as they do."""
