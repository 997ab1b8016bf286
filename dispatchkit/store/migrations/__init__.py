"""The schema's history. Each step is a `.sql` file with an `up` and a `down`, named YYYYMMDDHHMMSS-FeatureName."""
