"""Commands of the command line, a file a topic; `runners.cli` lists them. Heavy libraries are imported inside them."""
