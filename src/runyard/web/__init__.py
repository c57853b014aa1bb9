"""What every HTTP door shares: authentication, permissions, problems, streaming."""
