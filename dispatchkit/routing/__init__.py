"""Multi-stop routing as a pure library: problems, engines, and a checker that shares no code with the engines."""
