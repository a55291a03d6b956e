"""Vertex AI: what the DAG is compiled for, rehearsed for and submitted to."""

import warnings

# Google's libraries tell each user of Python 3.10 that it grows old, a dozen times a command.
warnings.filterwarnings("ignore", "You are using a (non-supported )?Python version", FutureWarning)
