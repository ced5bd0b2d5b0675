"""For authors of providers and clients: contracts, samples, engines to test with."""
