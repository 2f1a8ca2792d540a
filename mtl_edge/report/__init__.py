"""What people read: a table in the terminal, report.json, report.md and a self-contained report.html."""
