"""The one room that touches lm_eval: tasks, evaluations and models as lm_eval runs them."""
