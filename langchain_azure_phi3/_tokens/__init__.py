"""What texts and pictures cost in tokens, without a download. `tokens` puts it together."""
