"""Routes and street maps as commands of their own."""
