"""What people read: tables in the terminal, report.json, report.md, report.svg and a self-contained report.html."""
