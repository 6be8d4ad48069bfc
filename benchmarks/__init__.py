"""Side by side with peers in one run, and the cost of each layer; `README.md` says how to read it."""
