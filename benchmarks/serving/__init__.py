"""Programs that put load on a running server over HTTP and say what came of it; ``benchmarks.serve`` runs them."""
