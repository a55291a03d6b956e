"""`pipelines backtest`: a model is trained as of several days of the past, and asked about what came after them."""
