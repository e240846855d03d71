"""Service accounts: subjects that are no persons, and the API keys they prove themselves with."""
