"""Stand-ins for unit tests only, named after what they imitate."""
