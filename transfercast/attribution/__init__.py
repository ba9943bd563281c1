"""Which words drive a model's decision: term conductance of every layer, activities, and ANSAT. Usable by itself."""
