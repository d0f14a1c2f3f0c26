"""Claims about feed-forward networks and what takes their place."""
