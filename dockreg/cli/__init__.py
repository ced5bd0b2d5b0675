"""The ``dockreg`` command: one module per noun."""
