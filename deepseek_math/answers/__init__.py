"""What a completion answers, whether two answers are the same, and the vote over several."""
