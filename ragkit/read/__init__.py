"""Files to papers: which files there are, the formats that read them, and the process that does it."""
