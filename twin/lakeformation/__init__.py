"""Lake Formation in the twin: its grants decide what a query through Athena may see."""
