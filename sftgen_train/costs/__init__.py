"""What an evaluation will cost, told beforehand."""
