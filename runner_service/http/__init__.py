"""The runner over plain HTTP: webhooks, and the page on which a person answers an approval."""
