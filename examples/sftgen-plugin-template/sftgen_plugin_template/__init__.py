"""A plugin for sftgen: the benchmark `template_letters`, a judge, three diagnostics and a section of the report."""
