"""How a judge reaches its model: a server, its batch interface, or a model in this process."""
