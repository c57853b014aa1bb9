"""Browsers by the name that people know, from the long one that they give themselves."""

_NAMES = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """Such as Firefox on Linux; what it calls itself when it is none of those."""
    name = next((name for mark, name in _NAMES if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if not name:
        return agent[:60] or "unknown"
    return f"{name} on {system}" if system else name
