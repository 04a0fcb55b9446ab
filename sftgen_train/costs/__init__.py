"""What an evaluation will cost: an estimate before it runs."""
