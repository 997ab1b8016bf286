"""Deliveries: what people and drivers do to one, from its creation to its end. A room of acts; it has no sweep."""
