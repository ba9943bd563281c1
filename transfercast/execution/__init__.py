"""Run a plan: claims of processes on steps, trials, and results into the history. Here measuring and deciding meet."""
