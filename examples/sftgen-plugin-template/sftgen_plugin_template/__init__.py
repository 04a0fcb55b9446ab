"""A plugin for sftgen: the benchmark `template_letters`, a judge and three diagnostics."""
