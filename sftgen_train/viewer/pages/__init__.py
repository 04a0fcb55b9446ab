"""The screens: one module each, which turns records into what its template shows."""
