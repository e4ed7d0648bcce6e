"""The unattended work: watching, the durable bounded queue, worker processes and private delivery."""
