"""Commands for the terminal, and the server of the reports."""
