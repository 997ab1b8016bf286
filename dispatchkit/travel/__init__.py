"""Travel times between points: one interface, providers by name, and a recorder that lets a decision be repeated."""
