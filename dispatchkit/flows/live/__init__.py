"""Live work: sweeps, acts, positions and outgoing events."""
