"""The page that a run ends in: what data, what model, how good, against what, why pushed or refused."""
