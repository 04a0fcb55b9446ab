"""Sweeps: many checkpoints of many trainings through one queue each, planned before anything is loaded."""
