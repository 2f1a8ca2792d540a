"""What makes a finished fp32 graph of several tasks faster and changes nothing of what it computes."""
