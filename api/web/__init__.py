"""HTTP: routes and their transactions, idempotency keys, errors as responses, middleware, pages, searches."""
