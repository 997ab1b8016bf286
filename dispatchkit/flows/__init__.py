"""The corridor: where pure policies meet stores, files and clocks. Written once, for all features."""
