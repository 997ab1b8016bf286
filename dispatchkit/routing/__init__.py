"""Multi-stop routing: problems, engines, and a checker that shares no code with the engines."""
