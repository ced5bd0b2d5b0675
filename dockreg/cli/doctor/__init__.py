"""``dockreg doctor``: what a client would meet at a registry, step by step."""
