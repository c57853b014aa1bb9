"""The composition root: settings are read here, and parts are put together here, nowhere else.

`settings` reads what the operator chose; `app` opens the store, the engine, the doors and the
socket, in that order, and closes them in the opposite one. Parts get plain values, never settings.
"""
