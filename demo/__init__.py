"""Three hospitals train one diagnosis model on patients whom they do not share; a quorum commits every round of it."""
