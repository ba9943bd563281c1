"""Running a plan: turn-taking between processes, trials, results into the history. Here the two columns meet."""
