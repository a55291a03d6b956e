"""One folder a model. A model knows nothing of runners, and of `pipeline` only the contract."""
