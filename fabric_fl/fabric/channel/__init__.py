"""A channel's rules: its configuration, its policies, and what makes a transaction in it valid."""
