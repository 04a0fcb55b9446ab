"""`sftgen view`: runs, items and answers in a browser, over the records; and the same as a static folder."""
