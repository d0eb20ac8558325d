"""What runs a checkpoint: one folder an engine, `protocol.py` says what each promises."""
