"""From the output of a tracker to pictures of its tracks."""
