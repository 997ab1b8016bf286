"""Live work, decided by pure functions: frames in, changes out."""
