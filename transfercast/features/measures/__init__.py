"""One file a measure: formula and paper in the module's docstring, one decorated pure function."""
