"""A small family of incident-message tasks made by a generator, and the main job run on it."""
