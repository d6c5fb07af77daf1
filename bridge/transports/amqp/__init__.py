"""AMQP 0-9-1 on RabbitMQ. The only imports of pika."""
