"""Multi-stop plans: which stop next, for every driver with work."""
