"""What callers meet: wire structs, reading, authentication, routes, problem details."""
