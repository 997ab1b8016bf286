"""Driver offers: who is asked to carry a delivery, for how long, and what an answer does."""
