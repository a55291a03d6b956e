"""From raw files to tf.Examples: DuckDB runs the model's SELECT as BigQuery would."""
