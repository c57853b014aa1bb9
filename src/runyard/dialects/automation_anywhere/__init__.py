"""The Automation Anywhere API Task: real-time calls of allocated tasks (a later issue)."""
