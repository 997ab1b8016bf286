"""The corridor: where pure policies meet stores, files and clocks. Everything here is written once, for all features."""
