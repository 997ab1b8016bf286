"""Availability: who is on duty, who rests and until when, and when a shift is over."""
