"""HTTP: the only package that imports klein, werkzeug or the server side of twisted.web."""
