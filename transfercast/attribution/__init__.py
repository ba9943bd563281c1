"""Words that drive a model's decision: conductance of every layer, activities, ANSAT. Usable without the other packages."""
