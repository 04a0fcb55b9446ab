"""What changed token by token: texts teacher-forced under the base model and a checkpoint."""
