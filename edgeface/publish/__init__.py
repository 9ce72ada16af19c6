"""From messages to a broker: what waits (`outbox`), the publisher (`mqtt`), its connection (`supervisor`)."""
