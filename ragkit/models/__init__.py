"""Models and what they need: where their files are, how they run, how chat models are prompted."""
