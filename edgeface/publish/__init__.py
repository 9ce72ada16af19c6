"""From messages to a broker: what waits and what is dropped (`outbox`), and the connection (`mqtt`)."""
