"""Agents, links, import and export of workflows, and declarations of agent types (a later issue)."""
