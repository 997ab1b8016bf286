"""Deliveries: the acts of people and drivers on one, from its creation to its end. No sweep."""
